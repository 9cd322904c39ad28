/** Tasks that are left to what comes: a reboot, or a loss of power. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { ChrootMethod, ExitReason, type Exit } from "../../../src/client";
import { notes, type Kept } from "./notes";
import { check } from "./report";
import { exitOf, expectCode, expectStarted, make, run, script, SLEEPER, taskDir } from "./tasks";
import { startTicks, TASKS_CGROUP } from "./units";

/** More than the second within which records are synced. */
const SYNCED_MS = 2_500;

/** One of each kind; all that is known of them is on the disk when it resolves. */
export async function leaveTasks(): Promise<void> {
  notes.suffix = String(notes.checks);
  const linked = { chroot: { "/srv/tools": "/tools" }, chrootMethod: ChrootMethod.CHROOT_METHOD_LINK };
  const ended = await make(`ended-${notes.suffix}`, script("exit 3"));
  expectCode(await exitOf(ended.id), 3);
  notes.tasks = {
    ended,
    running: await make(`running-${notes.suffix}`, {
      ...linked,
      command: "/tools/busybox",
      args: ["sleep", "100000"],
    }),
    stubborn: await make(`stubborn-${notes.suffix}`, script("trap '' TERM; while :; do sleep 1; done")),
    waiting: await make(`waiting-${notes.suffix}`, SLEEPER, false),
  };
  assert.ok(taskDir(`running-${notes.suffix}`).includes("tools"));
  await sleep(SYNCED_MS);
}

export function left(name: string): Kept {
  const task = notes.tasks[name];
  assert.ok(task !== undefined);
  return task;
}

/** What holds of them after any end of the machine. */
export async function checkLeft(): Promise<void> {
  await check("the exit of a task that had ended is known", async () => {
    const { id } = left("ended");
    expectCode(await exitOf(id), 3);
  });
  await check("one that waited for Start is not said to have run", async () => {
    const exit = await exitOf(left("waiting").id);
    const { EXIT_REASON_NEVER_STARTED: never, EXIT_REASON_LOST: lost } = ExitReason;
    assert.ok(exit.reason === never || exit.reason === lost);
    assert.equal(exit.startedAt, undefined);
  });
  await check("the directories that were linked for a task have gone", () => {
    assert.ok(!taskDir(`running-${notes.suffix}`).includes("tools"));
  });
  await check("new tasks run, under the names of old ones", async () => {
    expectCode(await run(`running-${notes.suffix}`, script("exit 5")), 5);
    expectCode(await run(`waiting-${notes.suffix}`, script("exit 6")), 6);
  });
}

/** It ran, when is known, and how it ended nobody has seen. */
export function expectLost(exit: Exit, task: Kept): void {
  assert.equal(exit.reason, ExitReason.EXIT_REASON_LOST);
  assert.equal(exit.status?.$case, "unknown");
  expectStarted(exit, task);
}

/** Processes of this boot that have the pids of the last one's tasks; with what tells that they live on. */
export async function takePids(): Promise<ReadonlyMap<number, string>> {
  const taken = new Map<number, string>();
  for (const pid of Object.values(notes.tasks).flatMap(({ pids }) => pids)) {
    for (let tries = 0; startTicks(pid) === undefined; tries++) {
      assert.ok(tries < 100, `pid ${pid} cannot be had`);
      // The next fork gets the next pid that is free.
      spawn("sh", ["-c", `echo ${pid - 1} >/proc/sys/kernel/ns_last_pid; sleep 100000 & wait`], {
        stdio: "ignore",
        detached: true,
      }).unref();
      await sleep(300);
    }
    taken.set(pid, startTicks(pid) ?? "");
  }
  return taken;
}

export function expectUntouched(taken: ReadonlyMap<number, string>): void {
  for (const [pid, ticks] of taken) assert.equal(startTicks(pid), ticks, `pid ${pid}`);
}

/** Nothing of a task, init or launcher is alive, nor any cgroup of theirs. */
export function expectNothingAlive(): void {
  assert.ok(!existsSync(TASKS_CGROUP));
  const alive = readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((pid) => existsSync(`/proc/${pid}/cmdline`))
    .map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  assert.deepEqual(
    alive.filter((command) => /stockade|100000/.test(command)),
    [],
  );
}
