/** `stockade stop`: asks tasks to end, and kills those that have not in time. */
import { type StopOptions } from "../../client/index.js";
import type { Verb } from "../context.js";
import { parseMixed } from "../flags.js";
import { tasks } from "../task-name.js";
import { write } from "../write.js";

const FLAGS = {
  force: { type: "boolean", short: "f" },
  signal: { type: "string", short: "s" },
  time: { type: "string", short: "t" },
} as const;

export const stop: Verb = {
  synopsis: "stop [flags] TASK…",
  summary: "ask tasks to end, and kill those that have not in time",
  help: `  -s, --signal NAME        what they are asked by (default: SIGTERM)
  -t, --time SPAN          how long they have: 10s, or seconds alone (default: 10s)
  -f, --force              kill them at once
`,
  async run(argv, context) {
    const { flags, rest } = parseMixed(argv, FLAGS);
    const grace = flags.time !== undefined && /^\d+$/.test(flags.time) ? `${flags.time}s` : flags.time;
    const options: StopOptions = { signal: flags.signal, grace };
    for (const id of await tasks(rest, context)) {
      if (flags.force === true) await context.client.forceStop(id);
      else await context.client.stop(id, options);
      await write(context.stdout, `${id}\n`);
    }
    return 0;
  },
};
