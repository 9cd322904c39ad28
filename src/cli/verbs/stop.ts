/** `stockade stop`: asks tasks to end, and kills those that have not in time. */
import { toTaskEnd, type StopOptions } from "../../client/index.js";
import type { Verb } from "../context.js";
import { forEachTask } from "../each-task.js";
import { parseMixed } from "../flags.js";
import { OUTPUT_FLAG, toOutputForm } from "../output-form.js";
import { endedInWords } from "../state.js";
import { tasks, uuidOf } from "../task-name.js";

const FLAGS = {
  force: { type: "boolean", short: "f" },
  signal: { type: "string", short: "s" },
  time: { type: "string", short: "t" },
  ...OUTPUT_FLAG,
} as const;

export const stop: Verb = {
  synopsis: "stop [flags] TASK…",
  summary: "ask tasks to end, and kill those that have not in time",
  help: `  -s, --signal NAME        what they are asked by (default: SIGTERM)
  -t, --time SPAN          how long they have: 10s, or seconds alone (default: 10s)
  -f, --force              kill them at once
  -o, --output json|table  print how each ended, as JSON on a line of its own, instead
                           of its id alone
`,
  async run(argv, context) {
    const { flags, rest } = parseMixed(argv, FLAGS);
    const form = toOutputForm(flags);
    const grace = flags.time !== undefined && /^\d+$/.test(flags.time) ? `${flags.time}s` : flags.time;
    const options: StopOptions = { signal: flags.signal, grace };
    const { client } = context;
    await forEachTask(await tasks(rest, context), form, context, ["TASK", "STATE"], async (id) => {
      if (flags.force === true) await client.forceStop(id);
      else await client.stop(id, options);
      if (form === undefined) return { document: {}, row: [] };
      const { exit } = await client.wait(id);
      if (exit === undefined) throw new Error("the daemon answered Wait without an exit");
      const end = toTaskEnd(exit);
      return { document: end, row: [uuidOf(id), endedInWords(end)] };
    });
    return 0;
  },
};
