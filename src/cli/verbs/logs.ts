/** `stockade logs`: what a task has written. */
import { toTaskEnd, type LogEvent, type LogsOptions, type OutputStreamName } from "../../client/index.js";
import type { Context, Verb } from "../context.js";
import { endRows } from "../end-table.js";
import { parseMixed } from "../flags.js";
import { LogLines } from "../log-lines.js";
import { OUTPUT_FLAG, toOutputForm, type OutputForm } from "../output-form.js";
import { table } from "../table.js";
import { oneTask } from "../task-name.js";
import { UsageError } from "../usage-error.js";
import { write, writeOutput } from "../write.js";

const FLAGS = {
  follow: { type: "boolean", short: "f" },
  tail: { type: "string", short: "n" },
  stdout: { type: "boolean" },
  stderr: { type: "boolean" },
  ...OUTPUT_FLAG,
} as const;

const HEARTBEAT_MS = 15_000;

export const logs: Verb = {
  synopsis: "logs [flags] TASK",
  summary: "print what a task has written, and follow what it writes",
  help: `  -f, --follow             go on until the task has ended, over restarts of the daemon
  -n, --tail N             begin with the last N lines of each stream
      --stdout, --stderr   only that stream
  -o, --output json|table  as JSON, on each line one event: a chunk of a stream, with its
                           offset, as text, and in base64 too where it is none; a gap;
                           and the exit, if the task has ended. As a table how it
                           ended, to stderr, after the output
`,
  async run(argv, context) {
    const { flags, rest } = parseMixed(argv, FLAGS);
    const form = toOutputForm(flags);
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
    try {
      await (form === "json" ? writeLines(events, context) : passOn(events, form, context));
    } catch (error) {
      // Whoever reads no more has ended it, and needs not be told.
      if (!closed.signal.aborted) throw error;
    }
    return 0;
  },
};

async function writeLines(events: AsyncIterable<LogEvent>, { stdout }: Context): Promise<void> {
  const lines = new LogLines();
  for await (const event of events) await write(stdout, lines.of(event).join(""));
  await write(stdout, lines.end().join(""));
}

async function passOn(
  events: AsyncIterable<LogEvent>,
  form: OutputForm | undefined,
  context: Context,
): Promise<void> {
  for await (const event of events) {
    await writeOutput(event, context);
    if (event.kind === "exit" && form === "table") {
      await write(context.stderr, table(["WHAT", "IS"], endRows(toTaskEnd(event.exit)), false));
    }
  }
}

function toLines(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--tail takes a number of lines: '${text}'`);
  return Number(text);
}
