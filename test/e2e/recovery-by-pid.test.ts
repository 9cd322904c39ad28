/** Recovery of tasks that no cgroup holds together: what their records do not tell, their inits' hold of the exit records does. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { OwnDaemon } from "../../src/cli/own-daemon";
import { OpenMode, TaskState } from "../../src/client";
import { descendants, failure, isRoot, PROGRAM, until } from "../support/daemon";
import { exitOf, forceStopped } from "../support/exits";
import { isAlive } from "../support/processes";
import { Scratch } from "../support/task-files";
import { programWithoutCgroups } from "../support/without-cgroups";

let scratch: Scratch;
let daemon: OwnDaemon;
let log: string;

beforeAll(async () => {
  scratch = new Scratch();
  log = "";
  daemon = await OwnDaemon.start({
    program: isRoot() ? programWithoutCgroups(scratch) : PROGRAM,
    onLog: (text) => (log += text),
  });
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

interface Sleeper {
  readonly id: string;
  readonly uuid: string;
  readonly initPid: number;
  readonly pid: number;
}

/** A task whose main process has left another behind, which only its pid namespace holds. */
async function sleeper(name: string): Promise<Sleeper> {
  const { id } = await daemon.client.configure({
    allocId: name,
    taskName: "t",
    command: "/bin/sh",
    args: ["-c", "setsid sleep 1000 & exec sleep 1000"],
    allowUnenforced: true,
  });
  const { pid } = await daemon.client.start(id);
  const [, initPid = "", uuid = ""] = id.split(":");
  return { id, uuid, initPid: Number(initPid), pid };
}

const tasksDir = (...path: string[]): string => join(daemon.directory, "state/tasks", ...path);

it("a task whose record cannot be read is killed, whole, and Open says so; the others run on", async () => {
  const [broken, whole] = [await sleeper("broken"), await sleeper("whole")];
  // Its two, and the guard.
  await until(() => descendants(broken.initPid).length === 3);
  const processes = [broken.initPid, ...descendants(broken.initPid)];
  await daemon.end("SIGKILL");
  writeFileSync(
    tasksDir(broken.uuid, "record"),
    readFileSync(tasksDir(broken.uuid, "record")).subarray(0, -9),
  );
  await daemon.startAgain();
  expect(processes.filter(isAlive)).toEqual([]);
  for (const mode of [OpenMode.OPEN_MODE_REATTACH, OpenMode.OPEN_MODE_KILL]) {
    expect(await failure(daemon.client.open({ id: broken.id, mode }))).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "NOT_REATTACHED",
    });
  }
  expect(readdirSync(join(daemon.directory, "state/set-aside"))).toContain(broken.uuid);
  expect(log).toContain("set aside what is no record");
  expect((await daemon.client.open({ id: whole.id })).state).toBe(TaskState.TASK_STATE_RUNNING);
  await daemon.client.forceStop(whole.id);
  expect(await exitOf(daemon.client, whole.id)).toMatchObject(forceStopped());
});

it("a record that another task's has replaced tells nothing of either: the one it lies with is killed", async () => {
  const [replaced, other] = [await sleeper("replaced"), await sleeper("other")];
  await daemon.end("SIGKILL");
  writeFileSync(tasksDir(replaced.uuid, "record"), readFileSync(tasksDir(other.uuid, "record")));
  await daemon.startAgain();
  expect([replaced.initPid, replaced.pid].filter(isAlive)).toEqual([]);
  expect((await daemon.client.open({ id: other.id })).state).toBe(TaskState.TASK_STATE_RUNNING);
  await daemon.client.forceStop(other.id);
});

it("a task of a newer daemon's runs on, though another's record cannot be read", async () => {
  const [broken, newer] = [await sleeper("broken"), await sleeper("newer")];
  await daemon.end("SIGKILL");
  const file = tasksDir(newer.uuid, "record");
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace("stockade-record 1.", "stockade-record 3."));
  writeFileSync(tasksDir(broken.uuid, "record"), "");
  await daemon.startAgain();
  expect(isAlive(broken.initPid)).toBe(false);
  expect(isAlive(newer.pid)).toBe(true);
  await daemon.end("SIGKILL");
  writeFileSync(file, text);
  await daemon.startAgain();
  await daemon.client.forceStop(newer.id);
});
