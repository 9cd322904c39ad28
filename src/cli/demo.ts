/** `stockade demo`: one daemon, some tasks, every call with its answer. */
import { readFile } from "node:fs/promises";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";

import { ExitReason, StockadeError, TaskState } from "../client/index.js";
import type { Verb } from "./context.js";
import { OwnDaemon } from "./own-daemon.js";
import { print, ShownCalls } from "./shown-calls.js";
import { info } from "./verbs/info.js";
import { inspect } from "./verbs/inspect.js";
import { logs } from "./verbs/logs.js";
import { ps } from "./verbs/ps.js";
import { rm } from "./verbs/rm.js";
import { run } from "./verbs/run.js";
import { stop } from "./verbs/stop.js";
import { wait } from "./verbs/wait.js";

/** Says who and where it is, writes 8 MiB to disk, holds 16 MiB of memory and burns some CPU. */
const WORK = `
echo "user:  $(id)"
echo "host:  $(hostname), where pid 1 is $(cat /proc/1/comm)"
echo "root:  $(ls -m /)"
dd if=/dev/zero of=/local/data bs=1M count=8 conv=fsync 2>/dev/null
head -c 16777216 /dev/zero | tail -c 16777216 | wc -c
i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done
echo "done" > /dev/stderr
exit 7
`;

const WORK_EXIT_CODE = 7;

/** Ends when it is asked to. */
const POLITE = `
trap 'echo "asked to end"; exit 4' TERM
echo ready
while :; do sleep 0.1; done
`;

const POLITE_EXIT_CODE = 4;

/** Forks until it is let no further, saying how often it has; what it has forked stays. */
const BOMB = '(n=0; while :; do sleep 1000 & n=$((n + 1)); echo "forked $n times"; done); exec sleep 1000';
const BOMB_PIDS_MAX = 50;
/** How many forks are enough to show; not quite what the limit allows. */
const BOMB_FORKS = 40;
/** How long a task may take to say what it is to, in milliseconds. */
const LINES_MS = 60_000;
const POLL_MS = 10;

const MIB = 1024n * 1024n;

function title(text: string): void {
  print(`\n=== ${text}`);
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(`${what}: this is not what should have happened`);
}

/** From the logs in the task's record, which is named by the last part of its id. */
async function output(directory: string, id: string, stream: "stdout" | "stderr"): Promise<string> {
  const uuid = id.split(/[:/]/).at(-1) ?? "";
  return readFile(join(directory, "state/tasks", uuid, "log", stream), "utf8");
}

async function showOutput(directory: string, id: string): Promise<void> {
  for (const stream of ["stdout", "stderr"] as const) {
    print(`\n--- ${stream}`);
    process.stdout.write(await output(directory, id, stream));
  }
}

/** Resolves, with the task's last line, when it has written so many. */
async function lastOf(lines: number, directory: string, id: string): Promise<string> {
  const end = Date.now() + LINES_MS;
  for (;;) {
    const written = (await output(directory, id, "stdout")).split("\n").slice(0, -1);
    if (written.length >= lines) return written.at(-1) ?? "";
    expect(Date.now() < end, `${written.length} lines of output, for want of ${lines}`);
    await setTimeout(POLL_MS);
  }
}

/** Answers the names of the limits that this host cannot enforce. */
async function runWork(calls: ShownCalls, directory: string): Promise<ReadonlySet<string>> {
  title("a task with limits");
  const id = await calls.configure("work", WORK);
  const unenforced = await calls.limit(id, {
    memoryBytes: 64n * MIB,
    memoryReservationBytes: 32n * MIB,
    cpuShares: 512n,
    cpuMillis: 500n,
    cpusetCpus: "0",
    ioWeight: 100n,
    pidsMax: 20n,
  });
  await calls.start(id);
  const exit = await calls.wait(id);
  await showOutput(directory, id);
  const { status } = exit ?? {};
  expect(status?.$case === "exitCode" && status.value === WORK_EXIT_CODE, "the task's exit code");
  return unenforced;
}

async function runOutOfMemory(calls: ShownCalls): Promise<void> {
  title("a task that runs out of memory");
  const id = await calls.configure("oom", "exec tail /dev/zero");
  await calls.limit(id, { memoryBytes: 16n * MIB });
  await calls.start(id);
  const exit = await calls.wait(id);
  expect(exit?.reason === ExitReason.EXIT_REASON_OOM_KILLED, "the exit's reason");
}

async function stopForks(calls: ShownCalls, directory: string): Promise<void> {
  title("ForceStop of a task that forks");
  const id = await calls.configure("bomb", BOMB);
  await calls.limit(id, { pidsMax: BigInt(BOMB_PIDS_MAX) });
  await calls.start(id);
  print(`\n--- stdout, its last line\n${await lastOf(BOMB_FORKS, directory, id)}`);
  const exit = await calls.forceStop(id);
  expect(exit?.reason === ExitReason.EXIT_REASON_FORCE_STOPPED, "the exit's reason");
}

async function shutDown(calls: ShownCalls, directory: string): Promise<void> {
  title("Shutdown of a task that ends when it is asked to, which Open finds afterwards");
  const id = await calls.configure("polite", POLITE);
  await calls.start(id);
  await lastOf(1, directory, id);
  const exit = await calls.shutdown(id);
  await showOutput(directory, id);
  expect(
    exit?.status?.$case === "exitCode" && exit.status.value === POLITE_EXIT_CODE,
    "the task's exit code",
  );
  expect((await calls.open(id)) === TaskState.TASK_STATE_ENDED, "the task's state");
}

async function showError(calls: ShownCalls): Promise<void> {
  title("an error");
  try {
    await calls.wait("CGROUP:/no/such/task");
  } catch (error) {
    if (!(error instanceof StockadeError)) throw error;
    print(`${error.code} ${error.reason ?? ""}: ${error.message}`);
  }
}

/** The same calls as people type them. */
async function showVerbs({ client, address }: OwnDaemon): Promise<void> {
  title("the same, typed");
  const script = "echo hello from $(hostname); exit 3";
  const limits = ["-m", "64m", "--cpus", ".5", "--pids", "20"];
  const typed: readonly [Verb, string, ...string[]][] = [
    [info, "info"],
    [run, "run", "--name", "hello", "--allow-unenforced", ...limits, "sh", "-c", script],
    [run, "run", "-d", "--name", "sleeper", "--allow-unenforced", "sleep", "1000"],
    [ps, "ps", "-a"],
    [inspect, "inspect", "-o", "table", "sleeper"],
    [stop, "stop", "sleeper"],
    [logs, "logs", "-f", "hello"],
    [wait, "wait", "hello"],
    [rm, "rm", "hello", "sleeper"],
  ];
  const { stdout, stderr } = process;
  const context = {
    client,
    host: address,
    env: {},
    stdin: () => process.stdin,
    stdout,
    stderr,
    colour: false,
  };
  for (const [verb, name, ...args] of typed) {
    const words = ["stockade", name, ...args].map((word) => (/[ $;]/.test(word) ? `'${word}'` : word));
    print(`\n$ ${words.join(" ")}`);
    const status = await verb.run(args, context);
    if (status !== 0) print(`(exit status ${status})`);
  }
}

async function show(daemon: OwnDaemon): Promise<void> {
  const calls = new ShownCalls(daemon.client);
  const unenforced = await runWork(calls, daemon.directory);
  if (unenforced.has("memory_bytes")) {
    title("not shown: a task out of memory. memory_bytes is not enforced here, as Limit says above");
  } else {
    await runOutOfMemory(calls);
  }
  if (unenforced.has("pids_max")) {
    title("not shown: a task that forks. pids_max is not enforced here, as Limit says above");
  } else {
    await stopForks(calls, daemon.directory);
  }
  await shutDown(calls, daemon.directory);
  await showError(calls);
  await showVerbs(daemon);
}

/** Resolves with the number of the signal that asks this program to end. */
function interruption(): Promise<number> {
  return new Promise((resolve) => {
    for (const name of ["SIGINT", "SIGTERM"] as const) {
      process.once(name, () => {
        resolve(constants.signals[name]);
      });
    }
  });
}

/** Answers the exit status. Needs the daemon's program beside it, as the build puts it. */
export async function demo(): Promise<number> {
  const interrupted = interruption();
  const program = resolve(__dirname, "../../bin/stockaded");
  // By hand, and not "await using": the first versions of Node 20 don't know it.
  const daemon = await OwnDaemon.start({ program, cgroupRoot: `/stockade-demo-${process.pid}` });
  let signal: number | undefined;
  try {
    const shown = show(daemon).then(() => undefined);
    signal = await Promise.race([shown, interrupted]);
    // Its calls fail as the daemon goes, which nobody needs to be told.
    if (signal !== undefined) shown.catch(() => undefined);
  } finally {
    await daemon.stop();
  }
  title("stopped; nothing is left");
  return signal === undefined ? 0 : 128 + signal;
}
