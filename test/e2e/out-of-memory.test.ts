/** A daemon that dies for want of memory loses nothing: what it was asked for is more than its heap may hold. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ExitReason, TaskState } from "../../src/client";
import { TestDaemon, until } from "../support/daemon";
import { exited, exitOf } from "../support/exits";
import { itRequires } from "../support/requires";
import { records } from "../support/task-files";

/** Of the daemon's heap, in MiB: enough to start with. */
const HEAP_MIB = 48;
/** Bytes of one request's environment. */
const ENVIRONMENT_BYTES = 1_500_000;

const WRITER =
  "i=0; while [ ! -e /local/go ]; do i=$((i+1)); echo line $i || exit 99; sleep 0.01; done; exit 6";

/** Whether a process of ours has, which may still wait to be reaped. */
function hasDied(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

itRequires("cgroups", "tasks run on, their exits are true, and the next daemon has them all", async () => {
  const env = { ...process.env, NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` };
  const config = { end_tasks_on_stop: false, unstarted_bytes: 2 ** 34 };
  await using daemon = await TestDaemon.start(config, undefined, env);
  const name = daemon.freshName();
  const names = { allocId: name, taskName: name };
  const writer = await daemon.started({ ...names, command: "/bin/sh", args: ["-c", WRITER] });
  const ended = await daemon.run("exit 3");
  const { pid } = daemon;
  const value = "x".repeat(30_000);
  const large = Object.fromEntries(
    Array.from({ length: ENVIRONMENT_BYTES / value.length }, (_, index) => [`A${index}`, `${index}${value}`]),
  );
  const waiting: string[] = [];
  const flood = async (): Promise<void> => {
    for (;;) waiting.push(await daemon.configure({ command: "/bin/true", env: large }));
  };
  await Promise.allSettled([flood(), flood()]);
  expect(waiting.length).toBeGreaterThan(3);
  await until(() => hasDied(pid));

  await daemon.end("SIGKILL");
  await daemon.startAgain();
  expect((await daemon.client.open({ id: writer.id })).state).toBe(TaskState.TASK_STATE_RUNNING);
  expect((await daemon.client.wait(ended.id)).exit).toEqual(ended.exit);
  for (const id of waiting) {
    expect((await exitOf(daemon.client, id)).reason).toBe(ExitReason.EXIT_REASON_NEVER_STARTED);
  }
  // What was being made when it died was never answered, and has gone.
  expect(records(daemon)).toHaveLength(2 + waiting.length);
  writeFileSync(join(daemon.allocDir(name), name, "local/go"), "");
  expect(await exitOf(daemon.client, writer.id)).toMatchObject(exited(6));
  const lines = (await daemon.output(writer.id)).stdout.trim().split("\n");
  expect(lines).toEqual(lines.map((_line, index) => `line ${index + 1}`));
  expect((await daemon.run("exit 4")).exit).toMatchObject(exited(4));
  expect(daemon.leftovers()).toEqual([]);
});
