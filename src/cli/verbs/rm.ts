/** `stockade rm`: forgets tasks, with their output. */
import type { Verb } from "../context.js";
import { parseMixed } from "../flags.js";
import { tasks } from "../task-name.js";
import { write } from "../write.js";

const FLAGS = { force: { type: "boolean", short: "f" } } as const;

export const rm: Verb = {
  synopsis: "rm [flags] TASK…",
  summary: "remove the records of tasks that have ended, and their output",
  help: `  -f, --force              kill those that run
`,
  async run(argv, context) {
    const { flags, rest } = parseMixed(argv, FLAGS);
    for (const id of await tasks(rest, context)) {
      if (flags.force === true) await context.client.forceStop(id);
      await context.client.delete(id);
      await write(context.stdout, `${id}\n`);
    }
    return 0;
  },
};
