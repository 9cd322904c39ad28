/** I3 and I4: daemon, launcher or both are killed, and their tasks go on, and end as they do. */
import { execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { ChrootMethod, ExitReason, TaskState } from "../../src/client";
import { failure, SLEEPER, TestDaemon, until, type Ran, type Started } from "../support/daemon";
import { Fixtures } from "../support/fixtures";
import { has, itRequires, SLOW } from "../support/requires";
import { changeRecord } from "../support/task-files";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start({ end_tasks_on_stop: false });
});

beforeEach(() => daemon.startUnlessRunning());

afterAll(async () => {
  await daemon.endAll();
  await daemon[Symbol.asyncDispose]();
});

/** Resolves when the daemon has seen that: a task that the launcher was making then is refused with HELPER_GONE. */
async function killLauncher(): Promise<void> {
  const { launcher } = daemon;
  process.kill(launcher, "SIGKILL");
  await until(() => daemon.launchers().some((pid) => pid !== launcher));
}

/** What the daemon can be lost by. */
const LOSSES: readonly (readonly [string, () => Promise<void>])[] = [
  ["the daemon is killed", () => daemon.restart("SIGKILL")],
  ["the daemon is stopped", () => daemon.restart("SIGTERM")],
  [
    "both are killed",
    async () => {
      process.kill(daemon.launcher, "SIGKILL");
      await daemon.restart("SIGKILL");
    },
  ],
  [
    "the launcher is killed",
    async () => {
      await killLauncher();
      // It takes calls that need a launcher.
      await daemon.run("true");
    },
  ],
];

const script = (text: string): { command: string; args: string[] } => ({
  command: "/bin/sh",
  args: ["-c", text],
});

async function startLimited(): Promise<Started> {
  const id = await daemon.configure(SLEEPER);
  await daemon.client.limit({ id, resources: { memoryBytes: 64n << 20n, cpuShares: 1024n } });
  return { id, pid: (await daemon.client.start(id)).pid };
}

async function release(task: string): Promise<void> {
  await writeFile(join(daemon.allocDir(task), task, "local/go"), "");
}

// Each takes some starts of a daemon, which take most of the time where all is slow: there the first and the last will do.
describe.each(SLOW > 1 ? [LOSSES[0], LOSSES[3]].filter((loss) => loss !== undefined) : LOSSES)(
  "%s",
  (_name, lose) => {
    const trap = `trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done`;
    let writer: Started, trapping: Started, sleeper: Started;
    let limited: Started | undefined;
    let waiting: string;
    let ended: Ran;
    let writerName: string, waitingName: string, sleeperName: string;

    beforeAll(async () => {
      [writerName, waitingName, sleeperName] = [daemon.freshName(), daemon.freshName(), daemon.freshName()];
      const named = (name: string): { allocId: string; taskName: string } => ({
        allocId: name,
        taskName: name,
      });
      const lines = `i=0; while [ ! -e /local/go ]; do i=$((i+1)); echo line $i || exit 99; sleep 0.01; done; exit 7`;
      ended = await daemon.run("exit 3");
      writer = await daemon.started({ ...script(lines), ...named(writerName) });
      trapping = await daemon.started(script(trap));
      sleeper = await daemon.started({ ...SLEEPER, ...named(sleeperName) });
      limited = has("cgroups") ? await startLimited() : undefined;
      waiting = await daemon.configure({ ...SLEEPER, ...named(waitingName) });
      await until(async () => (await daemon.output(writer.id)).stdout.includes("line 3"));
      await until(async () => (await daemon.output(trapping.id)).stdout.includes("ready"));
      await lose();
    });

    it("what runs goes on, and its exit, usage and output are whole", async () => {
      const { id, pid } = writer;
      const lines = (await daemon.output(id)).stdout.split("\n").length;
      await until(async () => (await daemon.output(id)).stdout.split("\n").length > lines + 3);
      expect((await daemon.client.open({ id })).state).toBe(TaskState.TASK_STATE_RUNNING);
      expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toContain("/local/go");
      const wait = daemon.client.wait(id);
      await release(writerName);
      const { exit } = await wait;
      expect(exit).toMatchObject({
        reason: ExitReason.EXIT_REASON_EXITED,
        status: { $case: "exitCode", value: 7 },
      });
      expect(exit?.usage?.cpuUser).toBeDefined();
      const written = (await daemon.output(id)).stdout.trim().split("\n");
      expect(written).toEqual(written.map((_line, index) => `line ${index + 1}`));
    });

    itRequires("cgroups", "what has been limited stays so, and can be limited anew", async () => {
      const id = limited?.id ?? "";
      const { effective } = await daemon.client.limit({ id, resources: { pidsMax: 7n } });
      expect(effective).toMatchObject({ memoryBytes: 64n << 20n, cpuShares: 1024n, pidsMax: 7n });
    });

    it("what waits for Start has never started, and its name is free", async () => {
      expect((await daemon.client.wait(waiting)).exit).toMatchObject({
        reason: ExitReason.EXIT_REASON_NEVER_STARTED,
      });
      expect(await failure(daemon.client.start(waiting))).toMatchObject({ reason: "ENDED" });
      const again = await daemon.started({ ...SLEEPER, allocId: waitingName, taskName: waitingName });
      await daemon.client.forceStop(again.id);
    });

    it("what has ended is known, and the name of what runs is taken", async () => {
      expect((await daemon.client.wait(ended.id)).exit).toEqual(ended.exit);
      const taken = daemon.configure({ ...SLEEPER, allocId: sleeperName, taskName: sleeperName });
      expect(await failure(taken)).toMatchObject({ reason: "TASK_EXISTS" });
    });

    it("what runs can be stopped by Shutdown and by ForceStop, and nothing is left", async () => {
      expect((await daemon.client.shutdown({ id: trapping.id })).exit).toMatchObject({
        reason: ExitReason.EXIT_REASON_EXITED,
        status: { $case: "exitCode", value: 5 },
      });
      for (const { id } of [sleeper, limited].filter((task) => task !== undefined)) {
        expect((await daemon.client.forceStop(id)).exit).toMatchObject({
          reason: ExitReason.EXIT_REASON_FORCE_STOPPED,
        });
      }
      await until(() => daemon.leftovers().length === 0);
    });
  },
);

itRequires("cgroups", "what ends while no daemon is there: the true exit, usage and cause", async () => {
  const name = daemon.freshName();
  const text =
    "until [ -e /local/go ]; do sleep 0.01; done; dd if=/dev/zero of=/dev/shm/x bs=1M count=8; exit 9";
  const exits = await daemon.started({ ...script(text), allocId: name, taskName: name });
  const oom = await daemon.configure(
    script("sleep 0.5; dd if=/dev/zero of=/dev/shm/x bs=1M count=64; sleep 9"),
  );
  await daemon.client.limit({ id: oom, resources: { memoryBytes: 16n << 20n } });
  await daemon.client.start(oom);
  const killed = await daemon.started(script("sleep 0.5; kill -9 $$"));
  await daemon.end("SIGKILL");
  await release(name);
  await until(() => daemon.initPids().length === 0);
  await daemon.startAgain();
  expect((await daemon.client.wait(exits.id)).exit).toMatchObject({
    reason: ExitReason.EXIT_REASON_EXITED,
    status: { $case: "exitCode", value: 9 },
  });
  const { exit } = await daemon.client.wait(exits.id);
  expect(Number(exit?.usage?.memoryPeakBytes)).toBeGreaterThan(8 << 20);
  expect((await daemon.client.wait(oom)).exit).toMatchObject({ oomKilled: true });
  expect((await daemon.client.wait(killed.id)).exit).toMatchObject({
    reason: ExitReason.EXIT_REASON_SIGNALED,
    status: { $case: "signal", value: 9 },
  });
  await until(() => daemon.leftovers().length === 0);
});

it("init is killed while no daemon is there: LOST", async () => {
  const { id, pid } = await daemon.started();
  const [init = 0] = daemon.initPids();
  await daemon.end("SIGKILL");
  process.kill(init, "SIGKILL");
  await until(() => daemon.initPids().length === 0);
  await daemon.startAgain();
  expect((await daemon.client.wait(id)).exit).toMatchObject({
    reason: ExitReason.EXIT_REASON_LOST,
    status: { $case: "unknown" },
  });
  expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  expect(daemon.leftovers()).toEqual([]);
});

it("a Shutdown's grace period ends at its time, whichever daemon is there", async () => {
  const { id } = await daemon.started(script("trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  await until(async () => (await daemon.output(id)).stdout.includes("ready"));
  const begun = Date.now();
  const call = daemon.client.shutdown({ id, gracePeriod: { seconds: 2n, nanos: 0 } });
  call.catch(() => undefined);
  await until(async () => (await daemon.record(id)).includes('"graceEndsNs": "'));
  await daemon.restart("SIGKILL");
  const { exit } = await daemon.client.wait(id);
  expect(exit).toMatchObject({ reason: ExitReason.EXIT_REASON_FORCE_STOPPED });
  expect(Date.now() - begun).toBeGreaterThanOrEqual(1_900);
});

it("no environment is in a record", async () => {
  const { id } = await daemon.started({ ...SLEEPER, env: { TOKEN: "a-secret-of-the-task" } });
  expect(await readFile(join(daemon.recordDir(id), "record"), "utf8")).not.toContain("a-secret-of-the-task");
  await daemon.client.forceStop(id);
});

itRequires(
  "cgroups",
  "a record that cannot be read is set aside, and its task is killed; the others are not",
  async () => {
    const [broken, whole] = [await daemon.started(), await daemon.started()];
    await daemon.end("SIGKILL");
    const file = join(daemon.recordDir(broken.id), "record");
    await writeFile(file, (await readFile(file, "utf8")).slice(0, -10));
    await daemon.startAgain();
    await until(() => !existsSync(`/proc/${broken.pid}`));
    for (const call of [daemon.client.open({ id: broken.id }), daemon.client.wait(broken.id)]) {
      expect(await failure(call)).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NOT_REATTACHED" });
    }
    expect(daemon.logged).toContain("set aside");
    expect((await daemon.client.open({ id: whole.id })).state).toBe(TaskState.TASK_STATE_RUNNING);
    await daemon.client.forceStop(whole.id);
    expect(daemon.leftovers()).toEqual([]);
    const uuid = broken.id.split("/").at(-1) ?? "";
    const aside = join(daemon.daemon.directory, "state/set-aside");
    expect((await readdir(aside, { recursive: true })).join(" ")).toContain(uuid);
    await daemon.restart("SIGTERM");
    expect(await failure(daemon.client.open({ id: broken.id }))).toMatchObject({ code: "NOT_FOUND" });
  },
);

itRequires(
  ["root", "cgroups"],
  "a cgroup of no record that cannot be removed keeps nothing from recovering, and goes once it can",
  async () => {
    const { id } = await daemon.started();
    await daemon.end("SIGKILL");
    const orphan = join(dirname(daemon.taskCgroups()[0] ?? ""), randomUUID());
    mkdirSync(orphan);
    execFileSync("mount", ["--bind", orphan, orphan]);
    try {
      await daemon.startAgain();
      expect((await daemon.client.open({ id })).state).toBe(TaskState.TASK_STATE_RUNNING);
      await daemon.run("true");
      expect(existsSync(orphan)).toBe(true);
    } finally {
      execFileSync("umount", [orphan]);
    }
    await until(() => !existsSync(orphan));
    await daemon.client.forceStop(id);
  },
);

it("a record of a newer daemon stays where it is, and its task runs on", async () => {
  const { id, pid } = await daemon.started();
  await daemon.end("SIGKILL");
  const file = join(daemon.recordDir(id), "record");
  const text = await readFile(file, "utf8");
  await writeFile(file, text.replace("stockade-record 1.", "stockade-record 3."));
  await daemon.startAgain();
  expect(await failure(daemon.client.open({ id }))).toMatchObject({ code: "NOT_FOUND" });
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  await daemon.end("SIGTERM");
  await writeFile(file, text);
  await daemon.startAgain();
  expect((await daemon.client.open({ id })).state).toBe(TaskState.TASK_STATE_RUNNING);
  await daemon.client.forceStop(id);
});

itRequires(
  "cgroups",
  "after a reboot what ran, or may have run, is LOST, and nothing is signalled",
  async () => {
    const [ran, waited] = [await daemon.started(), await daemon.configure(SLEEPER)];
    await daemon.end("SIGKILL");
    for (const id of [ran.id, waited]) {
      changeRecord(daemon, id, /"bootId": ?"[^"]+"/, '"bootId": "00000000-0000-4000-8000-000000000000"');
    }
    await daemon.startAgain();
    const { exit } = await daemon.client.wait(ran.id);
    expect(exit).toMatchObject({ reason: ExitReason.EXIT_REASON_LOST, status: { $case: "unknown" } });
    expect(exit?.startedAt).toBeDefined();
    // A loss of power takes the last second's records: that it was not started is not known.
    expect((await daemon.client.wait(waited)).exit).toMatchObject({
      reason: ExitReason.EXIT_REASON_LOST,
      startedAt: undefined,
    });
  },
);

itRequires(
  "cgroups",
  "pids that are another process's by now name nothing: LOST, and that one is untouched",
  async () => {
    const { id } = await daemon.started();
    const [init = 0] = daemon.initPids();
    await daemon.end("SIGKILL");
    process.kill(init, "SIGKILL");
    await until(() => daemon.initPids().length === 0);
    const stranger = spawn("sleep", ["1000"], { stdio: "ignore" });
    const gone = new Promise((resolve) => stranger.once("exit", (_code, signal) => resolve(signal)));
    try {
      for (const field of ["initPid", "commandPid"]) {
        changeRecord(daemon, id, new RegExp(`"${field}": \\d+`), `"${field}": ${stranger.pid}`);
      }
      await daemon.startAgain();
      expect((await daemon.client.forceStop(id)).exit).toMatchObject({
        reason: ExitReason.EXIT_REASON_LOST,
        status: { $case: "unknown" },
      });
      expect(daemon.leftovers()).toEqual([]);
    } finally {
      stranger.kill("SIGUSR1");
    }
    // What has killed it is the test's own signal.
    expect(await gone).toBe("SIGUSR1");
  },
);

it("what init has written cannot be read: LOST, and reported", async () => {
  const { id, pid } = await daemon.started();
  await daemon.end("SIGKILL");
  process.kill(pid, "SIGKILL");
  await until(() => daemon.initPids().length === 0);
  await writeFile(join(daemon.recordDir(id), "exit"), "garbage");
  await daemon.startAgain();
  expect((await daemon.client.wait(id)).exit).toMatchObject({
    reason: ExitReason.EXIT_REASON_LOST,
    status: { $case: "unknown" },
  });
  expect(daemon.logged).toContain("cannot use an exit record");
});

it("runs of one name, more than may be alive: the last keeps what is its own", async () => {
  await using fixtures = await Fixtures.make("witness");
  await using few = await TestDaemon.start({ ...fixtures.config, max_tasks: 1, end_tasks_on_stop: false });
  const configured = (lines: number, code: number): Promise<string> =>
    few.configure({
      allocId: "a",
      taskName: "t",
      chrootMethod: ChrootMethod.CHROOT_METHOD_LINK,
      chroot: { [fixtures.directory]: "/data" },
      command: "/data/witness",
      args: ["/local/truth", String(lines), "20000", "exit", String(code)],
    });
  const ended = [];
  for (let run = 0; run < 3; run++) {
    const id = await configured(1, run);
    await few.client.start(id);
    ended.push({ id, exit: (await few.client.wait(id)).exit });
  }
  const id = await configured(100_000, 0);
  await few.client.start(id);
  await few.restart("SIGKILL");
  for (const { id: other, exit } of ended) expect((await few.client.wait(other)).exit).toEqual(exit);
  expect((await few.client.open({ id })).state).toBe(TaskState.TASK_STATE_RUNNING);
  const tree = join(few.allocDir("a"), "t/data/witness");
  expect(existsSync(tree)).toBe(true);
  await few.client.forceStop(id);
  expect(existsSync(tree)).toBe(false);
});

it("two daemons on one host never touch each other's tasks", async () => {
  await using other = await TestDaemon.start();
  const [mine, theirs] = [await daemon.started(), await other.started()];
  await daemon.restart("SIGKILL");
  await killLauncher();
  await daemon.run("true");
  expect((await other.client.open({ id: theirs.id })).state).toBe(TaskState.TASK_STATE_RUNNING);
  expect(existsSync(`/proc/${theirs.pid}`)).toBe(true);
  await other.restart("SIGKILL");
  expect((await daemon.client.open({ id: mine.id })).state).toBe(TaskState.TASK_STATE_RUNNING);
  expect((await other.client.open({ id: theirs.id })).state).toBe(TaskState.TASK_STATE_RUNNING);
});
