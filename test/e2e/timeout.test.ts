/** A task's `timeout`: kept by its init, whoever else is there. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { OwnDaemon } from "../../src/cli/own-daemon";
import { ExitReason, type ConfigureFields, type Exit } from "../../src/client";
import { writeCgroupFile } from "../support/cgroup-files";
import { SLEEPER, TestDaemon, until, type Started } from "../support/daemon";
import { inMs, ms } from "../support/durations";
import { exitFlags } from "../support/exit-flags";
import { died, exited, exitOf, forceStopped, oomKilled } from "../support/exits";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { freezers } from "../support/freezers";
import { initOf, timersOf, waitsOf } from "../support/inits";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires, SLOW } from "../support/requires";
import { Scratch } from "../support/task-files";
import { programWithoutCgroups } from "../support/without-cgroups";

/** Long enough for what a test does before it. */
const TIMEOUT_MS = 1_500 * SLOW;
/** How late a busy machine may be. */
const LATE_MS = 10_000 * SLOW;
/** Longer than any test takes. */
const FAR = ms(3_600_000);

let daemon: TestDaemon;
let fixtures: Fixtures;

beforeAll(async () => {
  fixtures = await Fixtures.make("fork-bomb", "held-by-tracer", "hold-pipe", "touch-memory");
  daemon = await TestDaemon.start({ ...fixtures.config, end_tasks_on_stop: false });
});

beforeEach(() => daemon.startUnlessRunning());

afterEach(() => expectNothingLeft(daemon));

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

function timedOut(): Partial<Exit> {
  return died(9, ExitReason.EXIT_REASON_TIMED_OUT);
}

/** From exec to the end of the main process. */
function lastedMs({ startedAt, exitedAt }: Exit): number {
  return inMs(exitedAt) - inMs(startedAt);
}

function expectInTime(exit: Exit, timeoutMs = TIMEOUT_MS): void {
  expect(exit).toMatchObject(timedOut());
  // Two clocks: the host's may be slewed.
  expect(lastedMs(exit)).toBeGreaterThan(timeoutMs * 0.99);
  expect(lastedMs(exit)).toBeLessThan(timeoutMs + LATE_MS);
}

function script(text: string, timeoutMs = TIMEOUT_MS): ConfigureFields {
  return { command: "/bin/sh", args: ["-c", text], mounts: fixtures.mounts, timeout: ms(timeoutMs) };
}

/** One that has come to say "ready". */
async function ready(text: string, timeoutMs = TIMEOUT_MS): Promise<Started> {
  const task = await daemon.started(script(text, timeoutMs));
  // Its beginning alone: one that writes without end has more than a string can hold.
  const log = join(daemon.recordDir(task.id), "log/stdout");
  await until(() => statSync(log).size >= "ready\n".length);
  return task;
}

describe("a task", () => {
  it("that runs longer is killed, with all that it has forked", async () => {
    const forks = "(setsid sleep 1000 & sleep 1000 & exec sleep 1000) & (trap '' TERM; sleep 1000) &";
    const { id } = await ready(`${forks} echo ready; sleep 1000`);
    expectInTime(await exitOf(daemon.client, id));
    expect(daemon.leftovers()).toEqual([]);
  });

  it.each([
    [
      "ignores every signal that it can",
      "trap '' TERM INT HUP QUIT USR1; echo ready; while :; do sleep 1; done",
    ],
    ["is stopped", "echo ready; kill -STOP $$; sleep 1000"],
    ["forks without end", "echo ready; while :; do (sleep 1000 &); sleep 0.01; done"],
    ["writes without end", "echo ready; exec yes"],
    ["uses all of a CPU", "echo ready; while :; do :; done"],
  ])("that %s is killed", async (_what, text) => {
    const { id } = await ready(text);
    expectInTime(await exitOf(daemon.client, id));
  });

  it("whose main process is held by a tracer is killed", async () => {
    const { id } = await daemon.started(script(`exec ${FIXTURES}/held-by-tracer`));
    await until(async () => (await daemon.output(id)).stdout === "held\n");
    expectInTime(await exitOf(daemon.client, id));
  });

  it("that has init wait for its output pipe is killed, too", async () => {
    const { id } = await daemon.started(script(`${FIXTURES}/hold-pipe; exec sleep 1000`));
    expectInTime(await exitOf(daemon.client, id));
  });

  it("that has init wait for it when its main process ends has ended then", async () => {
    const { id } = await daemon.started({ ...script(`${FIXTURES}/hold-pipe; exit 6`), timeout: FAR });
    expect(await exitOf(daemon.client, id)).toMatchObject(exited(6));
  });

  it("that ends before has ended so", async () => {
    expect((await daemon.run("exit 5", { timeout: FAR })).exit).toMatchObject(exited(5));
    expect((await daemon.run("kill -USR1 $$", { timeout: FAR })).exit).toMatchObject(died(10));
    expect((await daemon.run("kill -KILL $$", { timeout: FAR })).exit).toMatchObject(died(9));
  });

  it("has its time from exec on, however long it has waited for Start", async () => {
    const id = await daemon.configure({ ...SLEEPER, timeout: ms(TIMEOUT_MS) });
    await sleep(TIMEOUT_MS + 200);
    await daemon.client.start(id);
    expectInTime(await exitOf(daemon.client, id));
  });

  it("may have a nanosecond, and the longest time that there is", async () => {
    const least = await daemon.run("sleep 1000", { timeout: { seconds: 0n, nanos: 1 } });
    expect(least.exit).toMatchObject(timedOut());
    const most = await daemon.run("exit 6", { timeout: { seconds: 365n * 86_400n, nanos: 0 } });
    expect(most.exit).toMatchObject(exited(6));
  });

  it("loses nothing of what it had written", async () => {
    const { id } = await ready("seq 1 20000; echo ready; sleep 1000");
    expectInTime(await exitOf(daemon.client, id));
    const numbers = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`);
    expect((await daemon.output(id)).stdout).toBe(`${numbers.join("")}ready\n`);
  });

  itRequires("cgroups", "that is a fork bomb is killed, whatever forks meanwhile", async () => {
    const id = await daemon.configure(script(`exec ${FIXTURES}/fork-bomb`));
    await daemon.client.limit({ id, resources: { pidsMax: 200n } });
    await daemon.client.start(id);
    expectInTime(await exitOf(daemon.client, id));
  });

  itRequires("cgroups", "that died for want of memory before has died of that", async () => {
    const id = await daemon.configure(script(`exec ${FIXTURES}/touch-memory 256`, 3_600_000));
    await daemon.client.limit({ id, resources: { memoryBytes: 32n << 20n } });
    await daemon.client.start(id);
    expect(await exitOf(daemon.client, id)).toMatchObject(oomKilled());
  });

  itRequires("cgroups", "of which a child died for want of memory has timed out nonetheless", async () => {
    const id = await daemon.configure(script(`${FIXTURES}/touch-memory 256; echo ready; sleep 1000`));
    await daemon.client.limit({ id, resources: { memoryBytes: 32n << 20n } });
    await daemon.client.start(id);
    expect(await exitOf(daemon.client, id)).toMatchObject({ ...timedOut(), oomKilled: true });
  });
});

describe("of a stop and a timeout the first is the reason", () => {
  it("a ForceStop before it", async () => {
    const { id } = await daemon.started({ ...SLEEPER, timeout: FAR });
    expect((await daemon.client.forceStop(id)).exit).toMatchObject(forceStopped());
  });

  it("it, in the grace period of a Shutdown", async () => {
    const { id } = await ready("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    const { exit } = await daemon.client.shutdown({ id, gracePeriod: FAR });
    expect(exit).toMatchObject(timedOut());
  });

  it("a grace period that ends before it", async () => {
    const { id } = await ready("trap '' TERM; echo ready; while :; do sleep 0.05; done", 3_600_000);
    const { exit } = await daemon.client.shutdown({ id, gracePeriod: ms(100) });
    expect(exit).toMatchObject(forceStopped());
  });

  it("whichever it is of two at the same moment, and nothing is left", async () => {
    for (let round = 0; round < 20; round++) {
      const { id } = await daemon.started({ ...SLEEPER, timeout: ms(50 + round) });
      await sleep(50);
      const { exit } = await daemon.client.forceStop(id);
      const { EXIT_REASON_FORCE_STOPPED, EXIT_REASON_TIMED_OUT } = ExitReason;
      expect([EXIT_REASON_FORCE_STOPPED, EXIT_REASON_TIMED_OUT]).toContain(exit?.reason);
      expect(exit?.status).toEqual({ $case: "signal", value: 9 });
      expect(daemon.leftovers()).toEqual([]);
    }
  });
});

describe("frozen from outside", () => {
  for (const when of ["", ", with a daemon that was started meanwhile", ", with the next launcher"]) {
    itRequires("cgroups", `a task is killed${when}`, async () => {
      for (const freeze of freezers(daemon.cgroupRoot)) {
        const { id } = await ready("echo ready; sleep 1000", TIMEOUT_MS * 2);
        await freeze(id);
        if (when.includes("daemon")) await daemon.restart("SIGKILL");
        if (when.includes("launcher")) await replaceLauncher();
        expectInTime(await exitOf(daemon.client, id), TIMEOUT_MS * 2);
        expect(daemon.leftovers()).toEqual([]);
      }
    });
  }

  itRequires(["cgroups", "v1-freezer"], "why it is killed is on record before it is", async () => {
    const { id } = await ready("echo ready; sleep 1000");
    const [freeze] = freezers(daemon.cgroupRoot);
    await freeze?.(id);
    await daemon.end("SIGKILL");
    await until(() => exitFlags(daemon, id).overrun === "timeout");
    await sleep(100);
    expect(exitFlags(daemon, id)).toMatchObject({ overrun: "timeout", ended: false });
    await daemon.startAgain();
    expect(await exitOf(daemon.client, id)).toMatchObject(timedOut());
  });

  itRequires(["cgroups", "v1-freezer"], "without a daemon it is killed when it is thawed", async () => {
    const { id } = await ready("echo ready; sleep 1000");
    const [freeze] = freezers(daemon.cgroupRoot);
    await freeze?.(id);
    await daemon.end("SIGKILL");
    await until(() => exitFlags(daemon, id).overrun === "timeout");
    writeCgroupFile(id, "freezer.state", "THAWED");
    await until(() => exitFlags(daemon, id).ended);
    await daemon.startAgain();
    expectInTime(await exitOf(daemon.client, id));
  });
});

async function replaceLauncher(): Promise<void> {
  const { launcher } = daemon;
  process.kill(launcher, "SIGKILL");
  await until(() => daemon.launchers().some((pid) => pid !== launcher));
  // It takes calls that need a launcher.
  await daemon.run("true");
}

describe("is kept", () => {
  // An init whose launcher has gone is the host's first process's to reap.
  afterEach(() => until(() => daemon.leftovers().length === 0));

  it("while there is no daemon, and no launcher", async () => {
    const { id } = await ready("echo ready; trap '' TERM; (setsid sleep 1000 &) ; sleep 1000");
    await daemon.end("SIGKILL");
    await until(() => exitFlags(daemon, id).ended);
    await until(() => daemon.initPids().length === 0);
    await sleep(500);
    await daemon.startAgain();
    // Not when the next daemon has come to see.
    expectInTime(await exitOf(daemon.client, id));
  });

  it("while the daemon is stopped, and by the next one", async () => {
    const { id } = await ready("echo ready; sleep 1000");
    await daemon.restart("SIGTERM");
    expectInTime(await exitOf(daemon.client, id));
  });

  it("when the launcher is killed", async () => {
    const { id } = await ready("echo ready; sleep 1000");
    await replaceLauncher();
    expectInTime(await exitOf(daemon.client, id));
  });

  it("when both are killed", async () => {
    const { id } = await ready("echo ready; sleep 1000");
    process.kill(daemon.launcher, "SIGKILL");
    await daemon.restart("SIGKILL");
    expectInTime(await exitOf(daemon.client, id));
  });

  it("for what ends by itself while there is no daemon, too", async () => {
    const { id } = await ready("echo ready; sleep 0.3; exit 4", 3_600_000);
    await daemon.end("SIGKILL");
    await until(() => exitFlags(daemon, id).ended);
    await daemon.startAgain();
    expect(await exitOf(daemon.client, id)).toMatchObject(exited(4));
  });
});

itRequires(
  "root",
  "a task without a limit has no timer, and one that has one is not woken before",
  async () => {
    const without = await daemon.started();
    const within = await daemon.started({ ...SLEEPER, timeout: FAR });
    expect([without, within].map(({ pid }) => timersOf(initOf(pid)))).toEqual([0, 1]);
    await sleep(200);
    const before = waitsOf(initOf(within.pid));
    await sleep(1_000);
    expect(waitsOf(initOf(within.pid)) - before).toBe(0);
    for (const { id } of [without, within]) await daemon.client.forceStop(id);
  },
);

itRequires("root", "is kept for a task without a cgroup, too, while there is no daemon", async () => {
  using scratch = new Scratch();
  await using bare = await OwnDaemon.start({ program: programWithoutCgroups(scratch) });
  const started = async (taskName: string): Promise<string> => {
    const text = "trap '' TERM; (setsid sleep 1000 &); while :; do sleep 1; done";
    const request = { ...script(text), mounts: [], allocId: "a", taskName, allowUnenforced: true };
    const { id } = await bare.client.configure(request);
    await bare.client.start(id);
    return id;
  };
  const ids = [await started("there"), await started("gone")] as const;
  expect(ids[0]).toMatch(/^PID:/);
  expectInTime(await exitOf(bare.client, ids[0]));
  const later = await started("later");
  await bare.end("SIGKILL");
  await sleep(TIMEOUT_MS + 200);
  await bare.startAgain();
  for (const id of [ids[1], later]) expectInTime(await exitOf(bare.client, id));
});
