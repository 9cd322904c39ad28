/** What callers know their tasks by. */
import { invalidField } from "../errors.js";

export type Labels = ReadonlyMap<string, string>;

export const LABEL_KEY = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/;

/** Without C0 and C1 control characters: a value may come to a terminal. */
// eslint-disable-next-line no-control-regex
export const LABEL_VALUE = /^[^\u0000-\u001f\u007f-\u009f]*$/;

/** Ours: on record with each task, and in each page of List. */
export const LABELS_MAX = 64;
export const LABEL_VALUE_BYTES_MAX = 256;

/** Throws FIELD_INVALID for labels that cannot be, those of a task as those that are looked for. */
export function checkLabels(labels: Labels): Labels {
  if (labels.size > LABELS_MAX) throw invalidField("labels", `labels are more than ${LABELS_MAX}`);
  for (const [key, value] of labels) {
    if (!LABEL_KEY.test(key)) {
      throw invalidField("labels", "labels has a key that does not match [A-Za-z0-9][A-Za-z0-9._/-]{0,127}");
    }
    if (Buffer.byteLength(value) > LABEL_VALUE_BYTES_MAX) {
      throw invalidField(
        "labels",
        `the value of label '${key}' has more than ${LABEL_VALUE_BYTES_MAX} bytes`,
      );
    }
    if (!LABEL_VALUE.test(value)) {
      throw invalidField("labels", `the value of label '${key}' holds a control character`);
    }
  }
  return labels;
}
