import { UsageError } from "./usage-error.js";

/** Labels as they are typed: K=V, or K alone for an empty value. */
export function toLabels(typed: readonly string[]): Map<string, string> {
  return new Map(
    typed.map((label) => {
      const [key = "", ...value] = label.split("=");
      if (key === "") throw new UsageError(`--label takes a name and a value: '${label}'`);
      return [key, value.join("=")];
    }),
  );
}
