/** What verbs have to say that do the same to one task after the other. */
import type { Context } from "./context.js";
import type { OutputForm } from "./output-form.js";
import { printableJsonLine } from "./printable.js";
import { table } from "./table.js";
import { write } from "./write.js";

export interface Done {
  /** What there is to say of the task in JSON, beside its id. */
  readonly document: object;
  /** And in a table, below the titles. */
  readonly row: readonly string[];
}

/** Says of each task, once it is done, that it is: where one fails those before it have been told of, in a table too. */
export async function forEachTask(
  ids: readonly string[],
  form: OutputForm | undefined,
  { stdout, colour }: Context,
  titles: string[],
  act: (id: string) => Promise<Done>,
): Promise<void> {
  const rows: string[][] = [];
  try {
    for (const id of ids) {
      const { document, row } = await act(id);
      if (form === "table") rows.push([...row]);
      else await write(stdout, form === "json" ? printableJsonLine({ id, ...document }) : `${id}\n`);
    }
  } finally {
    if (rows.length > 0) await write(stdout, table(titles, rows, colour));
  }
}
