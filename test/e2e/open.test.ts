import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { OpenMode, TaskState } from "../../src/client";
import { cgroupMounts, failure, TestDaemon, type Started } from "../support/daemon";
import { exited, exitOf, forceStopped, neverStarted } from "../support/exits";
import { expectNothingLeft } from "../support/leftovers";
import { isAlive, isGone } from "../support/processes";
import { itRequires } from "../support/requires";

const { TASK_STATE_CONFIGURED, TASK_STATE_ENDED, TASK_STATE_RUNNING } = TaskState;
const MODES = [OpenMode.OPEN_MODE_UNSPECIFIED, OpenMode.OPEN_MODE_REATTACH, OpenMode.OPEN_MODE_KILL];
const KILL = OpenMode.OPEN_MODE_KILL;
const OTHER_UUID = "01890000-0000-7000-8000-000000000000";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

/** Expects each id to be refused in every mode, with the task that runs meanwhile untouched. */
async function expectRefused(ids: (task: Started) => readonly string[]): Promise<void> {
  const task = await daemon.started();
  for (const id of ids(task)) {
    for (const mode of MODES) {
      const { code } = await failure(daemon.client.open({ id, mode }));
      expect([id, mode, code]).toEqual([id, mode, expect.stringMatching(/^(NOT_FOUND|INVALID_ARGUMENT)$/)]);
    }
    expect([id, isAlive(task.pid)]).toEqual([id, true]);
  }
  expect(await daemon.client.open({ id: task.id })).toMatchObject({ state: TASK_STATE_RUNNING });
  await daemon.client.forceStop(task.id);
}

describe("Open of a task of this daemon", () => {
  it("tells that it waits for Start, and Start works after it", async () => {
    const id = await daemon.configure({ command: "/bin/sh", args: ["-c", "exit 3"] });
    expect(await daemon.client.open({ id })).toEqual({ state: TASK_STATE_CONFIGURED, exit: undefined });
    await daemon.client.start(id);
    expect(await exitOf(daemon.client, id)).toMatchObject(exited(3));
  });

  it("tells that it runs, and touches nothing; Wait and ForceStop work after it", async () => {
    const { id, pid } = await daemon.started();
    for (const mode of MODES.slice(0, 2)) {
      expect(await daemon.client.open({ id, mode })).toEqual({ state: TASK_STATE_RUNNING, exit: undefined });
    }
    expect(isAlive(pid)).toBe(true);
    const waiting = exitOf(daemon.client, id);
    await daemon.client.forceStop(id);
    expect(await waiting).toMatchObject(forceStopped());
  });

  it("tells that it has ended, and how", async () => {
    const { id, exit } = await daemon.run("exit 6");
    expect(exit).toMatchObject(exited(6));
    expect(await daemon.client.open({ id })).toEqual({ state: TASK_STATE_ENDED, exit });
  });
});

describe("Open in mode KILL", () => {
  it("kills everything of a live task, which then was FORCE_STOPPED", async () => {
    const { id, pid } = await daemon.started();
    const answer = await daemon.client.open({ id, mode: KILL });
    expect(daemon.leftovers()).toEqual([]);
    expect(answer).toMatchObject({ state: TASK_STATE_ENDED, exit: forceStopped() });
    expect(isGone(pid)).toBe(true);
    expect(await exitOf(daemon.client, id)).toEqual(answer.exit);
  });

  it("ends a task that waits for Start, which then was never started", async () => {
    const id = await daemon.configure({ command: "/bin/true" });
    const answer = await daemon.client.open({ id, mode: KILL });
    expect(daemon.leftovers()).toEqual([]);
    expect(answer).toMatchObject({ state: TASK_STATE_ENDED, exit: neverStarted() });
  });

  it("doesn't change how an ended task ended, and may be repeated", async () => {
    const { id, exit } = await daemon.run("exit 6");
    for (let times = 0; times < 2; times++) {
      expect(await daemon.client.open({ id, mode: KILL })).toEqual({ state: TASK_STATE_ENDED, exit });
    }
  });
});

describe("Open of what is no task of this daemon", () => {
  it("is NOT_FOUND for ids that none has", async () => {
    const unknown = [`CGROUP:${daemon.cgroupRoot}/${OTHER_UUID}`, `PID:${process.pid}:${OTHER_UUID}`];
    for (const id of unknown) {
      const error = await failure(daemon.client.open({ id }));
      expect(error).toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND" });
    }
    expect(isAlive(process.pid)).toBe(true);
  });

  it("touches nothing for ids that cannot be", async () => {
    await expectRefused(() => [
      "",
      "PID:1",
      "PID:1:",
      "PID:0",
      "PID:-1",
      `PID:-1:${OTHER_UUID}`,
      `PID:1:${OTHER_UUID}`,
      `PID:${process.pid}`,
      `PID:99999999999999999999:${OTHER_UUID}`,
      "1",
      "/",
      "CGROUP:",
      "CGROUP:/",
      "CGROUP://",
      "CGROUP:/..",
      "CGROUP:/stockade/../x",
      "CGROUP:/stockade/./x",
      "CGROUP:stockade/x",
      "CGROUP:/system.slice",
      "cgroup:/stockade/x",
      "CGROUP:/stockade/x\0y",
      `CGROUP:/${"x/".repeat(5000)}x`,
    ]);
  });

  it("touches nothing for the daemon's own cgroups", async () => {
    const { cgroupRoot } = daemon;
    await expectRefused(() => [
      `CGROUP:${cgroupRoot}`,
      `CGROUP:${cgroupRoot}/`,
      `CGROUP:${cgroupRoot}/inits`,
      `CGROUP:${cgroupRoot}/daemon`,
    ]);
    expect(isAlive(daemon.pid)).toBe(true);
  });

  it("touches nothing for what is nearly the id of a live task", async () => {
    await expectRefused(({ id, pid }) =>
      [
        `${id}/`,
        `${id}//`,
        `${id}/x`,
        `${id}/../${id.split("/").at(-1) ?? ""}`,
        id.replaceAll("/", "//"),
        id.toUpperCase(),
        id.slice(0, -1),
        ` ${id}`,
        `${id} `,
        `${id}\n`,
        id.replace("CGROUP:", ""),
        `PID:${pid}`,
        `PID:${pid}:${OTHER_UUID}`,
        `PID:${pid}:${id.split(/[/:]/).at(-1) ?? ""}`,
      ].filter((near) => near !== id),
    );
  });

  it("touches nothing for the pid of a process that is no task", async () => {
    const other = spawn("/bin/sleep", ["1000"], { stdio: "ignore" });
    try {
      await expectRefused(() => [`PID:${other.pid}:${OTHER_UUID}`, `PID:${other.pid}`]);
      expect(isAlive(other.pid ?? 0)).toBe(true);
    } finally {
      await ended(other);
    }
  });

  itRequires("cgroups", "touches no foreign cgroup, below another root or the daemon's own", async () => {
    const outside = `/stockade-test-foreign-${process.pid}`;
    const inside = `${daemon.cgroupRoot}/foreign`;
    for (const path of [outside, inside]) {
      const directories = cgroupMounts()
        .map((mount) => join(mount, path))
        // A hierarchy that has no cgroup of this daemon's is none of its.
        .filter((directory) => existsSync(join(directory, "..", "cgroup.procs")));
      const other = spawn("/bin/sleep", ["1000"], { stdio: "ignore" });
      try {
        for (const directory of directories) {
          mkdirSync(directory);
          joinCgroup(directory, other);
        }
        await expectRefused(() => [`CGROUP:${path}`, `CGROUP:${path}/`, `CGROUP:${path}/${OTHER_UUID}`]);
        expect(isAlive(other.pid ?? 0)).toBe(true);
        for (const directory of directories) expect(existsSync(directory)).toBe(true);
      } finally {
        await ended(other);
        for (const directory of directories) if (existsSync(directory)) rmdirSync(directory);
      }
    }
  });

  itRequires("cgroups", "touches no task of another daemon", async () => {
    await using second = await TestDaemon.start();
    const id = await second.configure({ command: "/bin/sleep", args: ["1000"] });
    const { pid } = await second.client.start(id);
    await expectRefused(() => [id]);
    expect(isAlive(pid)).toBe(true);
    expect((await second.client.forceStop(id)).exit).toMatchObject(forceStopped());
    expect(second.leftovers()).toEqual([]);
  });
});

/** A cpuset without CPUs takes nobody in. */
function joinCgroup(directory: string, { pid }: ChildProcess): void {
  try {
    writeFileSync(join(directory, "cgroup.procs"), String(pid));
  } catch (error) {
    if (!directory.includes("cpuset")) throw error;
  }
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exit;
}
