/** Open of tasks that are named by a pid, when the pid is another's by now. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";

import { OwnDaemon } from "../../src/cli/own-daemon";
import { OpenMode, TaskState, type Exit } from "../../src/client";
import { failure, isRoot, PROGRAM, until } from "../support/daemon";
import { exited, exitOf, forceStopped } from "../support/exits";
import { isGone } from "../support/processes";
import { itRequires } from "../support/requires";
import { Scratch } from "../support/task-files";
import { programWithoutCgroups } from "../support/without-cgroups";

const MODES = [OpenMode.OPEN_MODE_REATTACH, OpenMode.OPEN_MODE_KILL];

let scratch: Scratch;
let daemon: OwnDaemon;
let names = 0;

beforeAll(async () => {
  scratch = new Scratch();
  daemon = await OwnDaemon.start({ program: isRoot() ? programWithoutCgroups(scratch) : PROGRAM });
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

async function started(script: string): Promise<string> {
  const name = `t${names++}`;
  const { id } = await daemon.client.configure({
    allocId: name,
    taskName: name,
    command: "/bin/sh",
    args: ["-c", script],
    allowUnenforced: true,
  });
  await daemon.client.start(id);
  return id;
}

/** The parts of `PID:<pid>:<uuid>`. */
function partsOf(id: string): { pid: number; uuid: string } {
  const [, pid = "", uuid = ""] = /^PID:([0-9]+):([0-9a-f-]{36})$/.exec(id) ?? [];
  expect(uuid).not.toBe("");
  return { pid: Number(pid), uuid };
}

/** A task that has ended, init and all: its pid is free. */
async function ended(): Promise<{ id: string; pid: number; uuid: string; exit: Exit }> {
  const id = await started("exit 6");
  const exit = await exitOf(daemon.client, id);
  expect(exit).toMatchObject(exited(6));
  const { pid, uuid } = partsOf(id);
  await until(() => isGone(pid));
  return { id, pid, uuid, exit };
}

/** A process that is none of the daemon's, untouched for as long as `use` takes. */
async function untouched(stranger: ChildProcess, use: (pid: number) => Promise<void>): Promise<void> {
  try {
    await use(stranger.pid ?? 0);
    // It ends by this signal, hence by none before it.
    stranger.kill("SIGUSR1");
    expect(await once(stranger, "exit")).toEqual([null, "SIGUSR1"]);
  } finally {
    stranger.kill("SIGKILL");
  }
}

function stranger(): ChildProcess {
  return spawn("/bin/sleep", ["1000"], { stdio: "ignore" });
}

/** An ended task, and a stranger with its init's pid: the kernel gives the one after its last. */
async function reused(): Promise<{ id: string; exit: Exit; other: ChildProcess }> {
  for (;;) {
    const { id, pid, exit } = await ended();
    writeFileSync("/proc/sys/kernel/ns_last_pid", String(pid - 1));
    const other = stranger();
    if (other.pid === pid) return { id, exit, other };
    // Some other process was made in between, and may have it for long.
    const gone = once(other, "exit");
    other.kill("SIGKILL");
    await gone;
  }
}

describe("a stranger's pid", () => {
  it("with the uuid of an ended task names no task, and the stranger is untouched", async () => {
    const { id, uuid, exit } = await ended();
    await untouched(stranger(), async (pid) => {
      for (const mode of MODES) {
        const error = await failure(daemon.client.open({ id: `PID:${pid}:${uuid}`, mode }));
        expect(error).toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND" });
      }
      expect(await failure(daemon.client.forceStop(`PID:${pid}:${uuid}`))).toMatchObject({
        code: "NOT_FOUND",
      });
    });
    expect(await daemon.client.open({ id })).toEqual({ state: TaskState.TASK_STATE_ENDED, exit });
  });

  it("with the uuid of a live task names no task, and neither of the two is touched", async () => {
    const id = await started("exec sleep 1000");
    await untouched(stranger(), async (pid) => {
      for (const mode of MODES) {
        const error = await failure(daemon.client.open({ id: `PID:${pid}:${partsOf(id).uuid}`, mode }));
        expect(error).toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND" });
      }
    });
    expect(await daemon.client.open({ id })).toMatchObject({ state: TaskState.TASK_STATE_RUNNING });
    expect((await daemon.client.forceStop(id)).exit).toMatchObject(forceStopped());
  });
});

itRequires(
  "root",
  "an ended task whose init's pid is a stranger's by now is told, and no signal sent",
  async () => {
    const { id, exit, other } = await reused();
    await untouched(other, async () => {
      for (const mode of MODES) {
        expect(await daemon.client.open({ id, mode })).toEqual({ state: TaskState.TASK_STATE_ENDED, exit });
      }
      expect((await daemon.client.forceStop(id)).exit).toEqual(exit);
      expect(await failure(daemon.client.shutdown({ id }))).toMatchObject({ code: "FAILED_PRECONDITION" });
    });
  },
);
