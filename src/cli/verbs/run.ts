/** `stockade run`: a task in the foreground, or one that goes on by itself. */
import { basename } from "node:path";

import {
  TaskFailedError,
  type FileContent,
  type RunningTask,
  type RunOptions,
  type TaskResult,
} from "../../client/index.js";
import { COLLECT_DEFAULT, toCollecting, writeCollected, type Collecting } from "../collected.js";
import { OUR_FAILURE } from "../complaint.js";
import type { Context, Verb } from "../context.js";
import { endRows } from "../end-table.js";
import { endInWords, exitStatus } from "../exit-status.js";
import { parseFlags } from "../flags.js";
import { onInterrupts } from "../interrupts.js";
import { readInput, readLocalFile } from "../local-files.js";
import { toOutputForm, type OutputForm } from "../output-form.js";
import { printableJson } from "../printable.js";
import { RUN_FLAGS, toOptions, type RunFlags } from "../run-flags.js";
import { table } from "../table.js";
import { UsageError } from "../usage-error.js";
import { write, writeOutput } from "../write.js";

const TITLES = ["WHAT", "IS"];

export const run: Verb = {
  synopsis: "run [flags] COMMAND [ARG…]",
  summary: "run a command as a task, and exit as it does",
  help: `  -m, --memory SIZE        most memory: 64m, 1.5g
      --memory-reservation SIZE
                           what of it is reclaimed last
      --cpus N             most CPUs' worth of time: .5
  -c, --cpu-shares N       relative weight, 2 to 262144
      --cpuset-cpus LIST   the CPUs that it may run on: 0-2,4
      --pids N             most processes and threads (--pids-limit)
      --timeout SPAN       how long it may run: 10s, 1m30s
      --cpu-time SPAN      how much CPU time it may use
  -u, --user USER[:GROUP]  name or number (default: nobody)
      --group GROUP
  -e, --env K=V            an environment variable; K alone: this program's own
  -w, --workdir DIR        where it starts (default: /local)
  -v, --volume SRC:DST[:ro]
                           a path of the host that it sees
      --network none|host  (default: none)
      --name NAME          no other task of this name can run in its alloc
  -l, --label K=V          what it is known by, and found by ps
      --alloc NAME         the directory that tasks of one alloc share
  -i, --interactive        pass the standard input on, to its end: 4 MiB at most
      --file SRC:DST       a file that it brings along, below /local or /alloc/data
      --collect SRC[:DST]  a file of /local or /alloc that is written here once it has
                           ended, at DST or in that directory (default: this one)
      --collect-max SIZE   so much of each (default: 64m; at most 1g)
      --overwrite          replace files that --collect finds here
  -d, --detach             print its id, and leave it
      --rm                 remove its record and output once it has ended
      --allow-unenforced   run it where not all of this can be enforced
  -o, --output json|table  print how it ended: as JSON, with its output, instead of the
                           output; as a table, to stderr

Ctrl-C asks the task to end, as SIGINT does; a second one kills it; with a third
one the program ends in any case. Exit status: the task's, or 128 and the number
of the signal that it died of; 125: we failed, or a file was not collected;
126: the command cannot be executed; 127: it is not there.
`,
  async run(argv, context) {
    const { flags, rest } = parseFlags(argv, RUN_FLAGS);
    const [program, ...args] = rest;
    if (program === undefined) throw new UsageError("which command is to run?");
    const wanted = toOptions(flags, context.env);
    const form = toOutputForm(flags);
    refuseDetached(flags);
    const collecting = await toCollecting(flags.collect ?? [], flags.overwrite === true);
    const options = { ...wanted, ...(await brought(flags, context)) };
    if (flags.detach === true) return detached(context, [program, ...args], options);
    const most = flags["collect-max"] ?? COLLECT_DEFAULT;
    const collect = Object.fromEntries([...collecting.destinations.keys()].map((path) => [path, most]));
    return foreground(
      context,
      [program, ...args],
      { ...options, collect },
      {
        form,
        rm: flags.rm === true,
        collecting,
      },
    );
  },
};

/** What somebody has to be there for until the end. */
function refuseDetached(flags: RunFlags): void {
  if (flags.detach !== true) return;
  for (const [name, wanted] of [
    ["--rm", flags.rm],
    ["--collect", flags.collect],
    ["--output", flags.output],
  ] as const) {
    if (wanted !== undefined)
      throw new UsageError(`${name} does not go with --detach: nobody is there to do it`);
  }
}

/** What goes along with it of this host. */
async function brought(flags: RunFlags, { stdin }: Context): Promise<Pick<RunOptions, "files" | "input">> {
  const files: Record<string, FileContent> = {};
  for (const entry of flags.file ?? []) {
    const [, from, to] = /^(.+):(\/.+)$/.exec(entry) ?? [];
    if (from === undefined || to === undefined) throw new UsageError(`--file takes SRC:DST: '${entry}'`);
    files[to.endsWith("/") ? `${to}${basename(from)}` : to] = await readLocalFile(from);
  }
  return { files, input: flags.interactive === true ? await readInput(stdin()) : undefined };
}

async function detached(
  { client, stdout }: Context,
  command: [string, ...string[]],
  options: RunOptions,
): Promise<number> {
  const task = client.run(command, { ...options, detach: true });
  const id = await task.id;
  task.release();
  await write(stdout, `${id}\n`);
  return 0;
}

async function foreground(
  context: Context,
  command: [string, ...string[]],
  options: RunOptions,
  {
    form,
    rm,
    collecting,
  }: { readonly form: OutputForm | undefined; readonly rm: boolean; readonly collecting: Collecting },
): Promise<number> {
  const killed = new AbortController();
  const task = context.client.run(command, { ...options, signal: killed.signal, reject: false });
  const asked = new AbortController();
  const interrupts = onInterrupts({
    first: (signal) => {
      asked.abort();
      // A task that cannot be asked any more has ended, or the promise tells why not.
      task.stop({ signal }).catch(() => undefined);
    },
    second: () => killed.abort(),
  });
  context.stdout.once("close", () => killed.abort());
  try {
    if (form !== "json") await passOn(task, context);
    const result = await task;
    const whole = await writeCollected(result.files, collecting, context);
    if (rm) await context.client.delete(result.id);
    if (form === "json") await write(context.stdout, `${asDocument(result, collecting)}\n`);
    else if (form === "table") await write(context.stderr, table(TITLES, endRows(result), false));
    else if (!asked.signal.aborted && !result.canceled) await sayEnd(result, context);
    const status = exitStatus(result);
    return status === 0 && !whole ? OUR_FAILURE : status;
  } finally {
    interrupts[Symbol.dispose]();
  }
}

async function passOn(task: RunningTask, context: Context): Promise<void> {
  try {
    for await (const event of task) await writeOutput(event, context);
  } catch (error) {
    // How the task ended, or what has failed, its promise tells too.
    if (error instanceof TaskFailedError) return;
    await task;
  }
}

/** Of files that are written where they are, and not what they hold. */
function asDocument(result: TaskResult, { destinations }: Collecting): string {
  const files = result.files.map(({ content, ...file }) => ({
    ...file,
    ...(content === undefined ? {} : { writtenTo: destinations.get(file.path) }),
  }));
  return printableJson({ ...result, files });
}

async function sayEnd(result: TaskResult, { stderr }: Context): Promise<void> {
  for (const words of endInWords(result)) await write(stderr, `stockade: ${words}\n`);
}
