/** What a task makes of a host that fails it at the end: only that is a stand-in here. */
import type { Log, Sandbox, TaskCgroup } from "../../src/tasks/ports";
import { Task } from "../../src/tasks/task";

const KILLED_BY_THE_KERNEL = {
  waitStatus: 9,
  ended: true,
  started: true,
  startedNs: 1n,
  exitedNs: 2n,
  stdoutDroppedBytes: 0n,
  stderrDroppedBytes: 0n,
  cpuUserUs: 3n,
  cpuSystemUs: 4n,
  memoryPeakBytes: 5n,
};

function endedTask(
  cgroup: Partial<TaskCgroup>,
  ended: Promise<undefined> = Promise.resolve(undefined),
): { task: Task; logged: string[] } {
  const logged: string[] = [];
  const log: Log = { info: () => undefined, error: (message) => logged.push(message) };
  const sandbox: Sandbox = {
    initPid: 1,
    commandPid: 2,
    initStartTicks: 0n,
    start: () => Promise.reject(new Error("not called")),
    signal: () => Promise.resolve(false),
    killInit: () => undefined,
    exited: Promise.resolve(KILLED_BY_THE_KERNEL),
    ended,
  };
  const whole: TaskCgroup = {
    path: "/t",
    v2Dir: undefined,
    v1Dirs: [],
    unenforceable: () => new Map(),
    setLimits: () => Promise.resolve(),
    readLimits: () => Promise.resolve({}),
    readUsage: () => Promise.resolve({ pidsPeak: 7n }),
    readOomKills: () => Promise.resolve(1),
    kill: () => Promise.resolve(),
    removeIfEmpty: () => Promise.resolve(true),
    remove: () => Promise.resolve(),
    ...cgroup,
  };
  const release = (): Promise<void> => Promise.resolve();
  const parts = { id: "CGROUP:/t", uuid: "t", sandbox, cgroup: whole, log, release };
  return { task: new Task(parts, undefined), logged };
}

const failing = (): Promise<never> => Promise.reject(new Error("EIO"));

it("usage that cannot be read takes nothing from the reason of the end", async () => {
  const { task, logged } = endedTask({ readUsage: failing });
  expect(await task.ended).toMatchObject({ reason: "OOM_KILLED", oomKilled: true, usage: { cpuUserUs: 3n } });
  expect(logged).toEqual(["cannot read the usage of an ended task"]);
});

it("an OOM count that cannot be read takes nothing from the usage", async () => {
  const { task, logged } = endedTask({ readOomKills: failing });
  expect(await task.ended).toMatchObject({ reason: "SIGNALED", usage: { pidsPeak: 7n } });
  expect(logged).toEqual(["cannot read the OOM count of an ended task"]);
});

it("leftovers that cannot be killed take nothing from either", async () => {
  const { task, logged } = endedTask({ removeIfEmpty: () => Promise.resolve(false), kill: failing });
  expect(await task.ended).toMatchObject({ reason: "OOM_KILLED", usage: { pidsPeak: 7n } });
  expect(logged).toEqual(["cannot kill the leftovers of an ended task"]);
});

it("is read once its processes have ended, and ends with its init", async () => {
  const steps: string[] = [];
  let reap = (): void => undefined;
  const ended = new Promise<void>((resolve) => (reap = resolve));
  const { task } = endedTask(
    { removeIfEmpty: () => Promise.resolve(steps.push("cgroup removed") > 0) },
    ended.then(() => {
      steps.push("init reaped");
      return undefined;
    }),
  );
  void task.ended.then(() => steps.push("ended"));
  await new Promise((resolve) => setImmediate(resolve));
  expect(task.state).not.toBe("ended");
  await expect(task.limit({ pidsMax: 5n }, false)).rejects.toMatchObject({ reason: "ENDED" });
  reap();
  await task.ended;
  expect(steps).toEqual(["cgroup removed", "init reaped", "ended"]);
});

it("ends of nothing that is asked for once its processes have ended", async () => {
  let reap = (): void => undefined;
  const { task } = endedTask({}, new Promise((resolve) => (reap = () => resolve(undefined))));
  await new Promise((resolve) => setImmediate(resolve));
  const stopped = task.kill("force_stop");
  reap();
  expect(await stopped).toMatchObject({ reason: "OOM_KILLED" });
});
