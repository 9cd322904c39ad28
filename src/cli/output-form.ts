import { UsageError } from "./usage-error.js";

export const OUTPUT_FLAG = { output: { type: "string", short: "o" } } as const;

/** For people, or for programs. */
export type OutputForm = "table" | "json";

/** Throws a UsageError for one that the verb does not have; undefined: none was asked for. */
export function toOutputForm(
  { output }: { readonly output: string | undefined },
  forms: readonly OutputForm[] = ["table", "json"],
): OutputForm | undefined {
  const form = forms.find((known) => known === output);
  if (form === undefined && output !== undefined) {
    throw new UsageError(`--output is ${forms.join(" or ")}: '${output}'`);
  }
  return form;
}
