/** The host's clock is set, by a day and back: what has a duration keeps it, and no time told is out of order. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { ExitReason, StockadeClient, type Exit } from "../../src/client";
import { failure, SLEEPER, TestDaemon, until } from "../support/daemon";
import { died, exited, exitOf, forceStopped } from "../support/exits";
import { itRequires, SLOW } from "../support/requires";

const DAY_S = 24 * 3600;

/** Sets CLOCK_REALTIME: of the guest, whose it is. */
function shiftClock(seconds: number): void {
  execFileSync("date", ["-s", `@${(Date.now() / 1000 + seconds).toFixed(3)}`]);
}

const seconds = (time: Exit["exitedAt"]): number => Number(time?.seconds ?? 0n) + (time?.nanos ?? 0) / 1e9;

/** How long a bound may be overrun, in milliseconds: little of a day, on a slow machine too. */
const LATE_MS = 6_000 * SLOW;

/** A time that is kept of what runs, or has run, in seconds: longer than a call takes on a slow machine. */
const TTL_S = 10;

/** Longer than the next daemon takes to start, in seconds. */
const GRACE_S = 4 * SLOW;

const STUBBORN = {
  command: "/bin/sh",
  args: ["-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"],
};

/** For all tests: to start one takes long on a slow machine. */
let daemon: TestDaemon;
/** Keeps what waits for Start, and records, for a short time. */
let brief: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  brief = await TestDaemon.start({
    unstarted_ttl_seconds: TTL_S,
    ended_ttl_seconds: TTL_S,
    end_tasks_on_stop: false,
  });
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await brief.endAll();
  await brief[Symbol.asyncDispose]();
});

describe.each([
  ["forward", DAY_S],
  ["back", -DAY_S],
])("%s by a day", (_where, shift) => {
  /** Once, while `work` is under way; the clock is right again when this resolves. */
  async function withShift<T>(work: () => Promise<T>): Promise<T> {
    shiftClock(shift);
    try {
      return await work();
    } finally {
      shiftClock(-shift);
    }
  }

  itRequires(["root", "cgroups", "guest"], "a grace period is as long as was asked for", async () => {
    const { id } = await daemon.started(STUBBORN);
    await until(async () => (await daemon.output(id)).stdout.includes("ready"));
    const begun = performance.now();
    const stopped = daemon.client.shutdown({ id, gracePeriod: { seconds: 3n, nanos: 0 } });
    await sleep(200);
    const { exit } = await withShift(() => stopped);
    const took = performance.now() - begun;
    expect(exit).toMatchObject(forceStopped());
    expect(took).toBeGreaterThanOrEqual(3_000);
    expect(took).toBeLessThan(3_000 + LATE_MS);
  });

  itRequires(["root", "cgroups", "guest"], "the next daemon keeps to the grace period, too", async () => {
    const { id } = await daemon.started(STUBBORN);
    await until(async () => (await daemon.output(id)).stdout.includes("ready"));
    const begun = performance.now();
    const call = daemon.client.shutdown({ id, gracePeriod: { seconds: BigInt(GRACE_S), nanos: 0 } });
    call.catch(() => undefined);
    await until(async () => (await daemon.record(id)).includes('"graceEndsNs": "'));
    const [thereAt, exit] = await withShift(async () => {
      await daemon.restart("SIGKILL");
      return [performance.now(), await exitOf(daemon.client, id)] as const;
    });
    const ended = performance.now();
    expect(exit).toMatchObject(forceStopped());
    expect(ended - begun).toBeGreaterThanOrEqual(GRACE_S * 1_000);
    expect(ended).toBeLessThan(Math.max(begun + GRACE_S * 1_000, thereAt) + LATE_MS);
  });

  itRequires(["root", "cgroups", "guest"], "a task has the time that it was given", async () => {
    const id = await daemon.configure({ ...SLEEPER, timeout: { seconds: 5n, nanos: 0 } });
    const begun = performance.now();
    await daemon.client.start(id);
    const exit = await withShift(() => exitOf(daemon.client, id));
    const took = performance.now() - begun;
    expect(exit).toMatchObject(died(9, ExitReason.EXIT_REASON_TIMED_OUT));
    expect(took).toBeGreaterThanOrEqual(5_000);
    expect(took).toBeLessThan(5_000 + LATE_MS);
  });

  itRequires(
    ["root", "cgroups", "guest"],
    "what waits for Start does so for its time, and no longer",
    async () => {
      const begun = performance.now();
      const id = await brief.configure(SLEEPER);
      const exit = await withShift(() => exitOf(brief.client, id));
      const took = performance.now() - begun;
      expect(exit.reason).toBe(ExitReason.EXIT_REASON_NEVER_STARTED);
      expect(took).toBeGreaterThanOrEqual(TTL_S * 1_000);
      expect(took).toBeLessThan(TTL_S * 1_000 + LATE_MS);
    },
  );

  itRequires(
    ["root", "cgroups", "guest"],
    "an ended record is kept for its time, and no longer",
    async () => {
      const { id } = await brief.run("true");
      const begun = performance.now();
      await withShift(async () => {
        await sleep((TTL_S * 1_000) / 2);
        expect(existsSync(brief.recordDir(id))).toBe(true);
        await until(() => !existsSync(brief.recordDir(id)));
      });
      expect(performance.now() - begun).toBeLessThan(TTL_S * 1_000 + LATE_MS);
    },
  );

  itRequires(["root", "cgroups", "guest"], "the next daemon keeps no ended record for longer", async () => {
    const { id } = await brief.run("true");
    await brief.end("SIGKILL");
    expect(existsSync(brief.recordDir(id))).toBe(true);
    await withShift(async () => {
      await brief.startAgain();
      const begun = performance.now();
      await until(() => !existsSync(brief.recordDir(id)), TTL_S * 1_000 + LATE_MS);
      expect(performance.now() - begun).toBeLessThan(TTL_S * 1_000 + LATE_MS);
    });
  });

  itRequires(["root", "cgroups", "guest"], "no task has ended before it started", async () => {
    const { id } = await daemon.started({ command: "/bin/sh", args: ["-c", "sleep 1; exit 5"] });
    const exit = await withShift(() => exitOf(daemon.client, id));
    expect(exit).toMatchObject(exited(5));
    const lasted = seconds(exit.exitedAt) - seconds(exit.startedAt);
    expect(lasted).toBeGreaterThanOrEqual(0);
    // By which of the two clocks, no one can say; but it is one of them.
    expect([0, shift].some((by) => lasted >= by && lasted < by + 1 + LATE_MS / 1000)).toBe(true);
  });

  itRequires(["root", "guest"], "a client keeps trying for its time, and no longer", async () => {
    // Nobody is there.
    using client = new StockadeClient({ address: "unix:/run/nobody", retryMs: 5_000 });
    const begun = performance.now();
    const tries = [
      client.ready(5_000),
      client.get("CGROUP:/x/y"),
      client.get("CGROUP:/x/y", { timeoutMs: 5_000, retryMs: Infinity }),
    ];
    const errors = Promise.all(
      tries.map((tried) => failure(tried).then((error) => [error.code, performance.now() - begun] as const)),
    );
    for (const [code, took] of await withShift(() => errors)) {
      expect(code).toMatch(/^(UNAVAILABLE|DEADLINE_EXCEEDED)$/);
      expect(took).toBeGreaterThanOrEqual(5_000);
      expect(took).toBeLessThan(5_000 + LATE_MS);
    }
  });
});
