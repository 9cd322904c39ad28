import { printable } from "./printable.js";

const GAP = "   ";
const BOLD = "\u001b[1m";
const PLAIN = "\u001b[0m";

/** Columns under their titles, each as wide as its widest; nothing in them that a terminal would obey. */
export function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  colour: boolean,
): string {
  const cells = rows.map((row) => row.map(printable));
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join(GAP)
      .trimEnd();
  const head = line(titles);
  return [colour ? `${BOLD}${head}${PLAIN}` : head, ...cells.map(line)].map((text) => `${text}\n`).join("");
}
