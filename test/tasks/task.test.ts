/** What a task makes of a host that fails it at the end: only that is a stand-in here. */
import { Journal, type Start } from "../../src/tasks/journal";
import type { InitExit, Log, RecordStore, Sandbox, TaskCgroup, TaskRecord } from "../../src/tasks/ports";
import { Task } from "../../src/tasks/task";

const KILLED_BY_THE_KERNEL = {
  waitStatus: 9,
  ended: true,
  started: true,
  limited: false,
  overrun: undefined,
  startedNs: 1n,
  exitedNs: 2n,
  stdoutDroppedBytes: 0n,
  stderrDroppedBytes: 0n,
  outputTruncated: false,
  cpuUserUs: 3n,
  cpuSystemUs: 4n,
  memoryPeakBytes: 5n,
};

const PROCESSES = { initPid: 1, initStartTicks: 0n, commandPid: 2, commandStartTicks: 0n };

const RECORD: TaskRecord = {
  id: "CGROUP:/t",
  uuid: "t",
  allocId: "a",
  taskName: "t",
  labels: new Map(),
  request: undefined,
  owner: undefined,
  chrootMethod: "bind",
  cgroup: "/t",
  configuredNs: 0n,
  bootId: "b",
  processes: PROCESSES,
  found: { alloc: true, task: true },
  limits: {},
  cause: undefined,
  killSent: false,
  graceEndsNs: undefined,
  exit: undefined,
};

interface Otherwise {
  readonly exited?: Promise<InitExit | undefined>;
  readonly overrun?: Sandbox["overrun"];
  readonly known?: Partial<TaskRecord>;
  readonly store?: Partial<RecordStore>;
  readonly begun?: Start;
}

function endedTask(
  cgroup: Partial<TaskCgroup>,
  ended: Promise<undefined> = Promise.resolve(undefined),
  {
    exited = Promise.resolve(KILLED_BY_THE_KERNEL),
    overrun = new Promise<never>(() => undefined),
    known = {},
    store = {},
    begun = { kind: "executed", atNs: 1n },
  }: Otherwise = {},
): { task: Task; logged: string[] } {
  const logged: string[] = [];
  const log: Log = { info: () => undefined, error: (message) => logged.push(message) };
  const sandbox: Sandbox = {
    processes: PROCESSES,
    start: () => Promise.reject(new Error("not called")),
    signal: () => Promise.resolve(false),
    killInit: () => undefined,
    overrun,
    exited,
    ended,
  };
  const whole: TaskCgroup = {
    path: "/t",
    v2Dir: undefined,
    v1Dirs: [],
    cpuTimeFile: undefined,
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
  const records = {
    write: () => Promise.resolve(),
    sync: () => undefined,
    watchExit: () => () => undefined,
    readExit: () => Promise.resolve(undefined),
    ...store,
  };
  const journal = new Journal({ ...RECORD, ...known }, records);
  const parts = { journal, sandbox, cgroup: whole, log, release };
  return { task: Task.recovered(parts, begun), logged };
}

const failing = (): Promise<never> => Promise.reject(new Error("EIO"));

it("usage that cannot be read takes nothing from the reason of the end", async () => {
  const { task, logged } = endedTask({ readUsage: failing });
  expect(await task.ended).toMatchObject({ reason: "OOM_KILLED", oomKilled: true, usage: { cpuUserUs: 3n } });
  expect(logged).toEqual(["cannot read the usage of a task"]);
});

it("an OOM count that cannot be read takes nothing from the usage", async () => {
  const { task, logged } = endedTask({ readOomKills: failing });
  expect(await task.ended).toMatchObject({ reason: "SIGNALED", usage: { pidsPeak: 7n } });
  expect(logged).toEqual(["cannot read the OOM count of a task"]);
});

it("leftovers that cannot be killed take nothing from either", async () => {
  const { task, logged } = endedTask({ removeIfEmpty: () => Promise.resolve(false), kill: failing });
  expect(await task.ended).toMatchObject({ reason: "OOM_KILLED", usage: { pidsPeak: 7n } });
  expect(logged).toEqual(["cannot kill the leftovers of a task"]);
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

it("its end is on record before its cgroup goes, and before anybody is told", async () => {
  const steps: string[] = [];
  const { task } = endedTask(
    { removeIfEmpty: () => Promise.resolve(steps.push("cgroup removed") > 0) },
    Promise.resolve(undefined),
    { store: { write: ({ exit }) => Promise.resolve(void steps.push(exit?.reason ?? "no end")) } },
  );
  await task.ended;
  expect(steps).toEqual(["OOM_KILLED", "cgroup removed"]);
});

it("the cause is on record before anything is killed for it", async () => {
  const steps: string[] = [];
  let end = (): void => undefined;
  const exited = new Promise<undefined>((resolve) => (end = () => resolve(undefined)));
  const kill = (): Promise<void> => {
    steps.push("killed");
    end();
    return Promise.resolve();
  };
  const write = async ({ cause, exit }: TaskRecord): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    steps.push(`${cause} ${exit?.reason}`);
  };
  const { task } = endedTask({ kill }, Promise.resolve(undefined), { exited, store: { write } });
  await task.kill("force_stop");
  expect(steps).toEqual(["force_stop undefined", "killed", "force_stop FORCE_STOPPED"]);
});

it("a record that cannot be written keeps nobody from ending", async () => {
  const { task, logged } = endedTask({}, Promise.resolve(undefined), { store: { write: failing } });
  expect(await task.ended).toMatchObject({ reason: "OOM_KILLED" });
  expect(logged).toEqual(["cannot write the record of a task"]);
});

it("what an earlier daemon had begun to kill is killed", async () => {
  let end = (): void => undefined;
  const exited = new Promise<undefined>((resolve) => (end = () => resolve(undefined)));
  const kill = (): Promise<void> => {
    end();
    return Promise.resolve();
  };
  const known = { cause: "shutdown_grace" } as const;
  const { task } = endedTask({ kill }, Promise.resolve(undefined), { exited, known });
  expect(await task.ended).toMatchObject({ reason: "FORCE_STOPPED" });
});

it("an end that nobody has heard of is what init has written", async () => {
  const readExit = (): Promise<InitExit> => Promise.resolve({ ...KILLED_BY_THE_KERNEL, waitStatus: 0x300 });
  const exited = Promise.resolve(undefined);
  const { task } = endedTask({}, Promise.resolve(undefined), { exited, store: { readExit } });
  expect(await task.ended).toMatchObject({ status: { kind: "exitCode", code: 3 }, startedNs: 1n });
});

it("where it is not known whether it was started, it is LOST, whatever init had written before", async () => {
  const readExit = (): Promise<InitExit> =>
    Promise.resolve({ ...KILLED_BY_THE_KERNEL, started: false, ended: false });
  const exited = Promise.resolve(undefined);
  const begun = { kind: "unknown" } as const;
  const { task } = endedTask({}, Promise.resolve(undefined), { exited, begun, store: { readExit } });
  expect(await task.ended).toMatchObject({ reason: "LOST", status: { kind: "unknown" } });
});

it("of a stop and an overrun the reason is the one that was known first, and the other changes nothing", async () => {
  let end = (): void => undefined;
  const exited = new Promise<InitExit>((resolve) => {
    end = () => resolve({ ...KILLED_BY_THE_KERNEL, overrun: "timeout" });
  });
  const overrun = new Promise<"timeout">((resolve) => setImmediate(() => resolve("timeout")));
  const stopped = endedTask({}, Promise.resolve(undefined), { exited, overrun });
  void stopped.task.kill("force_stop");
  await overrun;
  end();
  expect(await stopped.task.ended).toMatchObject({ reason: "FORCE_STOPPED" });
  const late = endedTask({}, Promise.resolve(undefined), {
    exited: new Promise((resolve) => (end = () => resolve({ ...KILLED_BY_THE_KERNEL, overrun: "timeout" }))),
    overrun: Promise.resolve("timeout"),
  });
  await new Promise((resolve) => setImmediate(resolve));
  void late.task.kill("force_stop");
  end();
  expect(await late.task.ended).toMatchObject({ reason: "TIMED_OUT" });
});

it("what init cannot end, as it is frozen, is killed with its cgroup", async () => {
  let end = (): void => undefined;
  const exited = new Promise<InitExit>((resolve) => {
    end = () => resolve({ ...KILLED_BY_THE_KERNEL, overrun: "cpu_time" });
  });
  const kill = (): Promise<void> => {
    end();
    return Promise.resolve();
  };
  const overrun = Promise.resolve("cpu_time" as const);
  const { task } = endedTask({ kill }, Promise.resolve(undefined), { exited, overrun });
  expect(await task.ended).toMatchObject({ reason: "CPU_TIME_EXCEEDED" });
});

it("of an init that is not heard any more its record says it", async () => {
  let end = (): void => undefined;
  const exited = new Promise<undefined>((resolve) => (end = () => resolve(undefined)));
  const kill = (): Promise<void> => {
    end();
    return Promise.resolve();
  };
  const readExit = (): Promise<InitExit> =>
    Promise.resolve({ ...KILLED_BY_THE_KERNEL, limited: true, overrun: "timeout" });
  const overrun = Promise.resolve(undefined);
  const { task } = endedTask({ kill }, Promise.resolve(undefined), { exited, overrun, store: { readExit } });
  expect(await task.ended).toMatchObject({ reason: "TIMED_OUT" });
});

it("an init whose record cannot be watched is reported, and its task is as any other", async () => {
  const watchExit = (): never => {
    throw new Error("ENOSPC");
  };
  const { task, logged } = endedTask({}, Promise.resolve(undefined), {
    overrun: Promise.resolve(undefined),
    store: { watchExit },
  });
  expect(await task.ended).toMatchObject({ reason: "OOM_KILLED" });
  expect(logged).toEqual(["cannot watch the time limits of a task"]);
});
