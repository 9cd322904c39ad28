import { UsageError } from "./usage-error.js";

export const OUTPUT_FLAG = { output: { type: "string", short: "o" } } as const;

/** For people, or for programs. */
export type OutputForm = "table" | "json";

const FORMS: readonly OutputForm[] = ["json", "table"];

/** Undefined: none was asked for. Throws a UsageError for one that there is not. */
export function toOutputForm({ output }: { readonly output: string | undefined }): OutputForm | undefined {
  const form = FORMS.find((known) => known === output);
  if (form === undefined && output !== undefined) {
    throw new UsageError(`--output is ${FORMS.join(" or ")}: '${output}'`);
  }
  return form;
}
