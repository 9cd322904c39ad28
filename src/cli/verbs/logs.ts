/** `stockade logs`: what a task has written. */
import type { LogsOptions, OutputStreamName } from "../../client/index.js";
import type { Verb } from "../context.js";
import { parseMixed } from "../flags.js";
import { oneTask } from "../task-name.js";
import { UsageError } from "../usage-error.js";
import { writeOutput } from "../write.js";

const FLAGS = {
  follow: { type: "boolean", short: "f" },
  tail: { type: "string", short: "n" },
  stdout: { type: "boolean" },
  stderr: { type: "boolean" },
} as const;

const HEARTBEAT_MS = 15_000;

export const logs: Verb = {
  synopsis: "logs [flags] TASK",
  summary: "print what a task has written, and follow what it writes",
  help: `  -f, --follow             go on until the task has ended, over restarts of the daemon
  -n, --tail N             begin with the last N lines of each stream
      --stdout, --stderr   only that stream
`,
  async run(argv, context) {
    const { flags, rest } = parseMixed(argv, FLAGS);
    const from = flags.tail === undefined ? {} : { from: { lastLines: toLines(flags.tail) } };
    const id = await oneTask(rest, context);
    const streams = (["stdout", "stderr"] as const).filter(
      (stream): stream is OutputStreamName => flags[stream] === true,
    );
    const closed = new AbortController();
    context.stdout.once("close", () => closed.abort());
    const options: LogsOptions = {
      streams,
      signal: closed.signal,
      ...from,
      ...(flags.follow === true ? { follow: true, heartbeatMs: HEARTBEAT_MS } : {}),
    };
    const events =
      flags.follow === true ? context.client.output(id, options) : context.client.logs(id, options);
    for await (const event of events) await writeOutput(event, context);
    return 0;
  },
};

function toLines(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--tail takes a number of lines: '${text}'`);
  return Number(text);
}
