/** `stockade run`: a task in the foreground, or one that goes on by itself. */
import {
  TaskFailedError,
  type MountOption,
  type RunningTask,
  type RunOptions,
  type TaskResult,
} from "../../client/index.js";
import type { Context, Verb } from "../context.js";
import { endInWords, exitStatus } from "../exit-status.js";
import { parseFlags, type FlagValues } from "../flags.js";
import { onInterrupts } from "../interrupts.js";
import { toLabels } from "../labels.js";
import { printableJson } from "../printable.js";
import { toOutputForm, OUTPUT_FLAG } from "../output-form.js";
import { UsageError } from "../usage-error.js";
import { write, writeOutput } from "../write.js";

const FLAGS = {
  "allow-unenforced": { type: "boolean" },
  alloc: { type: "string" },
  "cpu-shares": { type: "string", short: "c" },
  "cpu-time": { type: "string" },
  cpus: { type: "string" },
  "cpuset-cpus": { type: "string" },
  detach: { type: "boolean", short: "d" },
  env: { type: "string", short: "e", multiple: true },
  group: { type: "string" },
  label: { type: "string", short: "l", multiple: true },
  memory: { type: "string", short: "m" },
  "memory-reservation": { type: "string" },
  name: { type: "string" },
  network: { type: "string" },
  pids: { type: "string" },
  "pids-limit": { type: "string" },
  rm: { type: "boolean" },
  timeout: { type: "string" },
  user: { type: "string", short: "u" },
  volume: { type: "string", short: "v", multiple: true },
  workdir: { type: "string", short: "w" },
  ...OUTPUT_FLAG,
} as const;

type Flags = FlagValues<typeof FLAGS>;

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
  -d, --detach             print its id, and leave it
      --rm                 remove its record and output once it has ended
      --allow-unenforced   run it where not all of this can be enforced
      --output json        print how it ended, with its output, instead of the output

Ctrl-C asks the task to end, as SIGINT does; a second one kills it; with a third
one the program ends in any case. Exit status: the task's, or 128 and the number
of the signal that it died of; 125: we failed; 126: the command cannot be
executed; 127: it is not there.
`,
  async run(argv, context) {
    const { flags, rest } = parseFlags(argv, FLAGS);
    const [program, ...args] = rest;
    if (program === undefined) throw new UsageError("which command is to run?");
    const options = toOptions(flags, context.env);
    const form = toOutputForm(flags, ["json"]);
    if (flags.detach === true) {
      if (flags.rm === true) throw new UsageError("--rm does not go with --detach: nobody is there to do it");
      return detached(context, [program, ...args], options);
    }
    return foreground(context, [program, ...args], options, {
      asJson: form === "json",
      rm: flags.rm === true,
    });
  },
};

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
  { asJson, rm }: { readonly asJson: boolean; readonly rm: boolean },
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
    if (!asJson) await passOn(task, context);
    const result = await task;
    if (rm) await context.client.delete(result.id);
    if (asJson) await write(context.stdout, `${printableJson(result)}\n`);
    else if (!asked.signal.aborted && !result.canceled) await sayEnd(result, context);
    return exitStatus(result);
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

async function sayEnd(result: TaskResult, { stderr }: Context): Promise<void> {
  for (const words of endInWords(result)) await write(stderr, `stockade: ${words}\n`);
}

function toOptions(flags: Flags, env: Context["env"]): RunOptions {
  const [user, group] = split(flags.user, ":");
  return {
    name: flags.name,
    alloc: flags.alloc,
    user,
    group: flags.group ?? group,
    workDir: flags.workdir,
    labels: toLabels(flags.label ?? []),
    env: toEnv(flags.env ?? [], env),
    mounts: flags.volume?.map(toMount),
    network: toNetwork(flags.network),
    timeout: flags.timeout,
    cpuTimeLimit: flags["cpu-time"],
    allowUnenforced: flags["allow-unenforced"],
    limits: {
      memory: flags.memory,
      memoryReservation: flags["memory-reservation"],
      cpus: toNumber(flags.cpus, "--cpus"),
      cpuShares: toNumber(flags["cpu-shares"], "--cpu-shares"),
      cpuset: flags["cpuset-cpus"],
      pids: toNumber(flags.pids ?? flags["pids-limit"], "--pids"),
    },
  };
}

function split(text: string | undefined, by: string): [string | undefined, string | undefined] {
  const at = text?.indexOf(by) ?? -1;
  return at < 0 ? [text, undefined] : [text?.slice(0, at), text?.slice(at + 1)];
}

function toNumber(text: string | undefined, flag: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^(\d+(\.\d*)?|\.\d+)$/.test(text)) throw new UsageError(`${flag} takes a number: '${text}'`);
  return Number(text);
}

function toEnv(entries: readonly string[], own: Context["env"]): Map<string, string> {
  const env = new Map<string, string>();
  for (const entry of entries) {
    const [name = "", given] = split(entry, "=");
    const value = given ?? own[name];
    if (name === "") throw new UsageError(`--env takes a name and a value: '${entry}'`);
    if (value !== undefined) env.set(name, value);
  }
  return env;
}

function toMount(volume: string): MountOption {
  const [source, target, mode, ...more] = volume.split(":");
  const known = mode === undefined || mode === "ro" || mode === "rw";
  if (source === undefined || target === undefined || !known || more.length > 0) {
    throw new UsageError(`--volume takes SRC:DST or SRC:DST:ro: '${volume}'`);
  }
  return { source, target, readOnly: mode === "ro" };
}

function toNetwork(mode: string | undefined): "none" | "host" | undefined {
  if (mode === undefined || mode === "none" || mode === "host") return mode;
  throw new UsageError(`--network is none or host: '${mode}'`);
}
