/** `stockade wait`: until a task has ended. */
import { toTaskEnd } from "../../client/index.js";
import type { Verb } from "../context.js";
import { endRows } from "../end-table.js";
import { endInWords, exitStatus } from "../exit-status.js";
import { parseMixed } from "../flags.js";
import { OUTPUT_FLAG, toOutputForm } from "../output-form.js";
import { printableJson } from "../printable.js";
import { table } from "../table.js";
import { oneTask } from "../task-name.js";
import { write } from "../write.js";

const TITLES = ["WHAT", "IS"];

export const wait: Verb = {
  synopsis: "wait [flags] TASK",
  summary: "wait until a task has ended, and exit as it did",
  help: `  -o, --output json|table  print how it ended, instead of its exit status
`,
  async run(argv, context) {
    const { flags, rest } = parseMixed(argv, OUTPUT_FLAG);
    const form = toOutputForm(flags);
    const id = await oneTask(rest, context);
    const { exit } = await context.client.wait(id, { retryMs: Infinity });
    if (exit === undefined) throw new Error("the daemon answered Wait without an exit");
    const result = toTaskEnd(exit);
    const status = exitStatus(result);
    if (form === "json") {
      await write(context.stdout, `${printableJson(result)}\n`);
      return status;
    }
    if (form === "table") {
      await write(context.stdout, table(TITLES, endRows(result), context.colour));
      return status;
    }
    await write(context.stdout, `${status}\n`);
    for (const words of endInWords(result)) await write(context.stderr, `stockade: ${words}\n`);
    return status;
  },
};
