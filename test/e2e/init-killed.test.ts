/**
 * The host's root kills a task's init, or the kernel does for want of the host's memory: the task is over, and nobody
 * makes up how it ended.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ExitReason, StockadeError, type Exit } from "../../src/client";
import { exitReasonToJSON } from "../../src/gen/executor/v1/executor";
import { readCgroupFile } from "../support/cgroup-files";
import { failure, SLEEPER, TestDaemon, until, type Started } from "../support/daemon";
import { exited, exitOf, forceStopped, neverStarted, oomKilled } from "../support/exits";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires, SLOW } from "../support/requires";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start({ end_tasks_on_stop: false });
});

afterEach(() => expectNothingLeft(daemon));

afterAll(async () => {
  await daemon.endAll();
  await daemon[Symbol.asyncDispose]();
});

const LOST: Partial<Exit> = {
  status: { $case: "unknown", value: true },
  reason: ExitReason.EXIT_REASON_LOST,
  oomKilled: false,
  outputTruncated: true,
};

/** The init of a task: its command's parent. */
function initOf({ pid }: Started): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** The only init that there is. */
function onlyInit(): number {
  const [init, ...others] = daemon.initPids();
  if (init === undefined || others.length > 0) throw new Error("there is not one init alone");
  return init;
}

const script = (text: string): { command: string; args: string[] } => ({
  command: "/bin/sh",
  args: ["-c", text],
});

itRequires("cgroups", "of one that runs: LOST, with what it has written, and all of it is gone", async () => {
  const name = daemon.freshName();
  const names = { allocId: name, taskName: name };
  const text = "setsid sleep 1000 & echo one; echo two >&2; echo ready; wait";
  const task = await daemon.started({ ...script(text), ...names });
  await until(async () => (await daemon.output(task.id)).stdout.includes("ready"));
  const waits = [exitOf(daemon.client, task.id), exitOf(daemon.client, task.id)];
  const before = Date.now();
  process.kill(initOf(task), "SIGKILL");
  for (const exit of await Promise.all(waits)) {
    expect(exit).toMatchObject(LOST);
    expect(exit.startedAt).toBeDefined();
    expect(Number(exit.exitedAt?.seconds)).toBeGreaterThanOrEqual(Math.floor(before / 1000));
  }
  expect(daemon.leftovers()).toEqual([]);
  expect(existsSync(`/proc/${task.pid}`)).toBe(false);
  expect(await daemon.output(task.id)).toEqual({ stdout: "one\nready\n", stderr: "two\n" });
  expect(await failure(daemon.client.shutdown({ id: task.id }))).toMatchObject({ reason: "ENDED" });
  // Its name is free, and the next daemon says the same of it.
  await daemon.client.forceStop((await daemon.started({ ...SLEEPER, ...names })).id);
  await daemon.restart("SIGKILL");
  expect(await exitOf(daemon.client, task.id)).toMatchObject(LOST);
});

itRequires("cgroups", "of one that waits for Start: NEVER_STARTED, which is what it was", async () => {
  const id = await daemon.configure(SLEEPER);
  const waited = exitOf(daemon.client, id);
  process.kill(onlyInit(), "SIGKILL");
  expect(await waited).toMatchObject({ ...neverStarted(), outputTruncated: false });
  expect(daemon.leftovers()).toEqual([]);
  expect(await failure(daemon.client.start(id))).toMatchObject({ reason: "ENDED" });
});

itRequires("cgroups", "of one that is being stopped: as it was stopped", async () => {
  const task = await daemon.started(script("trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  await until(async () => (await daemon.output(task.id)).stdout.includes("ready"));
  const init = initOf(task);
  process.kill(init, "SIGSTOP");
  const stopped = daemon.client.forceStop(task.id);
  await until(async () => (await daemon.record(task.id)).includes('"force_stop"'));
  process.kill(init, "SIGKILL");
  const { exit } = await stopped;
  expect(exit?.reason).toBe(forceStopped().reason);
});

itRequires("cgroups", "that does not move: ForceStop ends the task all the same", async () => {
  const task = await daemon.started();
  process.kill(initOf(task), "SIGSTOP");
  const { exit } = await daemon.client.forceStop(task.id);
  expect(exit?.reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
});

/** In the first milliseconds of a task, and around its end. */
const INSTANTS = Array.from({ length: Math.ceil(24 / SLOW) }, (_, index) => index * 0.75 * SLOW);

itRequires("cgroups", "at any instant: the true exit, or none", async () => {
  for (const ms of INSTANTS) {
    const name = daemon.freshName();
    const names = { allocId: name, taskName: name };
    const id = await daemon.configure({ ...script("echo > /local/ran; exit 7"), ...names });
    const init = onlyInit();
    const started = daemon.client.start(id).catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, ms));
    try {
      process.kill(init, "SIGKILL");
    } catch {
      // It has gone by itself.
    }
    const exit = await exitOf(daemon.client, id);
    const answer = await started;
    if (answer instanceof StockadeError) expect(["ENDED", "INTERNAL"]).toContain(answer.reason);
    const hasRun = existsSync(join(daemon.allocDir(name), name, "local/ran"));
    const reasons = [ExitReason.EXIT_REASON_EXITED, ExitReason.EXIT_REASON_LOST];
    expect(hasRun ? reasons : [...reasons, ExitReason.EXIT_REASON_NEVER_STARTED]).toContain(exit.reason);
    if (exit.reason === ExitReason.EXIT_REASON_EXITED) expect(exit).toMatchObject(exited(7));
    else expect(exit.status).toEqual({ $case: "unknown", value: true });
    expect(daemon.leftovers()).toEqual([]);
    // What is on record is what was told.
    expect(await daemon.record(id)).toContain(
      `"${exitReasonToJSON(exit.reason).replace("EXIT_REASON_", "")}"`,
    );
  }
});

describe("for want of the host's memory", () => {
  /** How many processes the kernel says, in such a file, that it has killed for want of memory. */
  function oomKills(text: string | undefined): number {
    return Number(/^oom_kill (\d+)$/m.exec(text ?? "")?.[1]);
  }

  const ofHost = (): number => oomKills(readFileSync("/proc/vmstat", "utf8"));
  const ofTask = (id: string): number =>
    oomKills(readCgroupFile(id, "memory.events") ?? readCgroupFile(id, "memory.oom_control"));

  /** Has the kernel look for a process to kill, as it does when the host has no memory left; it takes this one. */
  async function takeForMemory(pid: number): Promise<void> {
    const before = ofHost();
    writeFileSync(`/proc/${pid}/oom_score_adj`, "1000");
    writeFileSync("/proc/sysrq-trigger", "f");
    await until(() => ofHost() > before);
    expect(ofHost()).toBe(before + 1);
    expect(execFileSync("dmesg", { encoding: "utf8" })).toContain(`Out of memory: Killed process ${pid} `);
  }

  async function startReady(): Promise<Started> {
    const task = await daemon.started(script("echo one; echo two >&2; echo ready; exec sleep 1000"));
    await until(async () => (await daemon.output(task.id)).stdout.includes("ready"));
    return task;
  }

  async function expectGone({ id, pid }: Started): Promise<void> {
    expect(daemon.leftovers()).toEqual([]);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(await daemon.output(id)).toEqual({ stdout: "one\nready\n", stderr: "two\n" });
  }

  const NEEDS = ["root", "cgroups", "guest"] as const;

  itRequires(NEEDS, "an init that the kernel takes: LOST", async () => {
    const task = await startReady();
    const waited = exitOf(daemon.client, task.id);
    await takeForMemory(initOf(task));
    expect(await waited).toMatchObject(LOST);
    await expectGone(task);
  });

  itRequires(NEEDS, "one that it takes while no daemon is there: LOST", async () => {
    const task = await startReady();
    const init = initOf(task);
    await daemon.end("SIGKILL");
    await takeForMemory(init);
    // The kernel has ended the command with it, and has not counted that.
    expect(ofTask(task.id)).toBe(0);
    await daemon.startAgain();
    expect(await exitOf(daemon.client, task.id)).toMatchObject(LOST);
    await expectGone(task);
  });

  itRequires(NEEDS, "a command that it takes: OOM_KILLED", async () => {
    const task = await startReady();
    const waited = exitOf(daemon.client, task.id);
    await takeForMemory(task.pid);
    expect(await waited).toMatchObject({ ...oomKilled(), outputTruncated: false });
    await expectGone(task);
  });

  itRequires(NEEDS, "one that it takes while no daemon is there: OOM_KILLED", async () => {
    const task = await startReady();
    await daemon.end("SIGKILL");
    await takeForMemory(task.pid);
    // It is the task's cgroup that it is counted in, though no limit of it was reached.
    expect(ofTask(task.id)).toBe(1);
    await daemon.startAgain();
    expect(await exitOf(daemon.client, task.id)).toMatchObject({ ...oomKilled(), outputTruncated: false });
    await expectGone(task);
  });
});
