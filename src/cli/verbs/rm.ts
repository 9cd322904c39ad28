/** `stockade rm`: forgets tasks, with their output. */
import type { Verb } from "../context.js";
import { forEachTask } from "../each-task.js";
import { parseMixed } from "../flags.js";
import { OUTPUT_FLAG, toOutputForm } from "../output-form.js";
import { tasks, uuidOf } from "../task-name.js";

const FLAGS = { force: { type: "boolean", short: "f" }, ...OUTPUT_FLAG } as const;

export const rm: Verb = {
  synopsis: "rm [flags] TASK…",
  summary: "remove the records of tasks that have ended, and their output",
  help: `  -f, --force              kill those that run
  -o, --output json|table  (default: the id of each, on a line of its own)
`,
  async run(argv, context) {
    const { flags, rest } = parseMixed(argv, FLAGS);
    const form = toOutputForm(flags);
    await forEachTask(await tasks(rest, context), form, context, ["TASK", "STATE"], async (id) => {
      if (flags.force === true) await context.client.forceStop(id);
      await context.client.delete(id);
      return { document: {}, row: [uuidOf(id), "removed"] };
    });
    return 0;
  },
};
