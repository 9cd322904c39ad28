/** A List request, checked, and what it finds. */
import { allocIdOf } from "../access/alloc-name.js";
import type { Caller } from "../access/identity.js";
import { isThereFor } from "../access/rules.js";
import { digestOf } from "../digest.js";
import { invalidField } from "../errors.js";
import { checkLabels, type Labels } from "../request/labels.js";
import { NAME } from "../request/spec.js";
import type { Task, TaskState } from "../task.js";
import { uuidOfToken } from "./page-token.js";

/** A state as callers know it: one that is starting is "configured" to them. */
export type ListedState = Exclude<TaskState, "starting"> | "paused";

/** As in the request: empty is what was not given. */
export interface ListInput {
  readonly states: readonly ListedState[];
  readonly labels: Labels;
  readonly allocId: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface ListQuery {
  readonly matches: (task: Task) => boolean;
  /** Of states, labels and alloc: a page token is good for one filter. */
  readonly filterDigest: string;
  readonly pageSize: number;
  /** The last one of the page before. */
  readonly after: string | undefined;
}

/** Ours: there are fewer states. */
export const STATES_MAX = 16;
const PAGE_SIZE_DEFAULT = 100;
const PAGE_SIZE_MAX = 1000;

/** Finds none that is not there for the caller. Throws FIELD_INVALID. */
export async function checkList(input: ListInput, by: Caller): Promise<ListQuery> {
  const { allocId, pageSize, pageToken } = input;
  const states = new Set(input.states);
  const labels = checkLabels(input.labels);
  if (allocId !== "" && !NAME.test(allocId)) {
    throw invalidField("alloc_id", "alloc_id must match [A-Za-z0-9][A-Za-z0-9._-]{0,127}");
  }
  if (pageSize < 0) throw invalidField("page_size", "page_size is negative");
  const filterDigest = await digestOf({ states: [...states].sort(), labels, allocId });
  return {
    matches: (task) =>
      isThereFor(by, task.record.owner) &&
      (allocId === "" || allocIdOf(task.record.allocId) === allocId) &&
      (states.size === 0 || states.has(task.state === "starting" ? "configured" : task.state)) &&
      hasAll(task.record.labels, labels),
    filterDigest,
    pageSize: pageSize === 0 ? PAGE_SIZE_DEFAULT : Math.min(pageSize, PAGE_SIZE_MAX),
    after: pageToken === "" ? undefined : uuidOfToken(pageToken, filterDigest),
  };
}

function hasAll(labels: Labels, wanted: Labels): boolean {
  for (const [key, value] of wanted) if (labels.get(key) !== value) return false;
  return true;
}
