/** A task's `cpu_time_limit`: of all its processes together, and kept by its init, whoever else is there. */
import { setTimeout as sleep } from "node:timers/promises";

import { OwnDaemon } from "../../src/cli/own-daemon";
import { ExitReason, type ConfigureFields, type Exit } from "../../src/client";
import { onlineCpus } from "../support/cgroup-files";
import { failure, SLEEPER, TestDaemon, until } from "../support/daemon";
import { inMs, ms } from "../support/durations";
import { exitFlags } from "../support/exit-flags";
import { died, exited, exitOf, forceStopped } from "../support/exits";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { initOf, waitsOf } from "../support/inits";
import { expectNothingLeftSoon } from "../support/leftovers";
import { itRequires, SLOW } from "../support/requires";
import { Scratch } from "../support/task-files";
import { programWithoutCgroups } from "../support/without-cgroups";

const LIMIT_MS = 600 * SLOW;
/** What a busy machine lets a task use before its init comes to look. */
const LATE_MS = 3_000 * SLOW * onlineCpus().length;
const FAR = ms(3_600_000);

let daemon: TestDaemon;
let fixtures: Fixtures;

beforeAll(async () => {
  fixtures = await Fixtures.make("burn", "flee", "hold-pipe", "touch-memory");
  daemon = await TestDaemon.start({ ...fixtures.config, end_tasks_on_stop: false });
});

beforeEach(() => daemon.startUnlessRunning());

afterEach(() => expectNothingLeftSoon(daemon));

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

function exceeded(): Partial<Exit> {
  return died(9, ExitReason.EXIT_REASON_CPU_TIME_EXCEEDED);
}

function usedMs({ usage }: Exit): number {
  return inMs(usage?.cpuUser) + inMs(usage?.cpuSystem);
}

/** It was killed for it, not before it had used it, and not long after. */
function expectUsedUp(exit: Exit, limitMs = LIMIT_MS): void {
  expect(exit).toMatchObject(exceeded());
  expect(usedMs(exit)).toBeGreaterThanOrEqual(limitMs);
  expect(usedMs(exit)).toBeLessThan(limitMs + LATE_MS);
}

function script(text: string, limitMs = LIMIT_MS): ConfigureFields {
  return { command: "/bin/sh", args: ["-c", text], mounts: fixtures.mounts, cpuTimeLimit: ms(limitMs) };
}

const BUSY = "while :; do :; done";

const WAYS = [
  ["uses it in its main process", BUSY],
  ["uses it in the kernel", "exec dd if=/dev/zero of=/dev/null bs=1"],
  ["uses it in children side by side", `for i in 1 2 3 4; do (${BUSY}) & done; wait`],
  ["uses it in children that it waits for", `while :; do ${FIXTURES}/burn 20; done`],
  ["uses it in children of children, in sessions of their own", `(setsid sh -c '${BUSY}' &) & sleep 1000`],
  ["uses it in processes that nobody waits for", `exec ${FIXTURES}/flee`],
  ["has init wait for its output pipe", `${FIXTURES}/hold-pipe; ${BUSY}`],
  ["ignores every signal that it can", `trap '' TERM INT XCPU HUP; ${BUSY}`],
] as const;

describe("a task", () => {
  for (const [what, text] of WAYS) {
    itRequires("cgroups", `that ${what} is killed when it is used up`, async () => {
      const { id } = await daemon.started(script(text));
      expectUsedUp(await exitOf(daemon.client, id));
      expect(daemon.leftovers()).toEqual([]);
    });
  }

  itRequires("cgroups", "that uses less has ended as it did", async () => {
    const { id } = await daemon.started(script(`${FIXTURES}/burn 50; exit 5`, 3_600_000));
    expect(await exitOf(daemon.client, id)).toMatchObject(exited(5));
  });

  itRequires("cgroups", "that uses it bit by bit is killed", async () => {
    const { id } = await daemon.started(script(`while :; do ${FIXTURES}/burn 5; sleep 0.05; done`, 100));
    expectUsedUp(await exitOf(daemon.client, id), 100);
  });

  itRequires("cgroups", "that had been idle for long is killed", async () => {
    const { id } = await daemon.started(script(`sleep 2; ${BUSY}`, 100));
    expectUsedUp(await exitOf(daemon.client, id), 100);
  });

  itRequires("cgroups", "may have a nanosecond, and the longest time that there is", async () => {
    const least = await daemon.run(BUSY, { cpuTimeLimit: { seconds: 0n, nanos: 1 } });
    expect(least.exit).toMatchObject(exceeded());
    const most = await daemon.run("exit 6", { cpuTimeLimit: { seconds: 365n * 86_400n, nanos: 0 } });
    expect(most.exit).toMatchObject(exited(6));
  });

  itRequires(
    "cgroups",
    "that is idle costs its init next to nothing, however close to its limit",
    async () => {
      const { id, pid } = await daemon.started({ ...SLEEPER, cpuTimeLimit: ms(100 * SLOW) });
      await sleep(1_000);
      const before = waitsOf(initOf(pid));
      await sleep(2_000);
      expect(waitsOf(initOf(pid)) - before).toBeLessThan(30);
      expect((await daemon.client.forceStop(id)).exit).toMatchObject(forceStopped());
    },
  );

  itRequires("cgroups", "that is far from its limit is not looked at for long", async () => {
    const { id, pid } = await daemon.started({ ...SLEEPER, cpuTimeLimit: FAR });
    await sleep(200);
    const before = waitsOf(initOf(pid));
    await sleep(1_000);
    expect(waitsOf(initOf(pid)) - before).toBe(0);
    await daemon.client.forceStop(id);
  });
});

describe("of both limits the one that is reached first is the reason", () => {
  itRequires("cgroups", "of a task that is busy CPU time", async () => {
    const { id } = await daemon.started({ ...script(BUSY), timeout: FAR });
    expectUsedUp(await exitOf(daemon.client, id));
  });

  itRequires("cgroups", "of one that sleeps the other", async () => {
    const { id } = await daemon.started({ ...SLEEPER, cpuTimeLimit: FAR, timeout: ms(300) });
    expect(await exitOf(daemon.client, id)).toMatchObject(died(9, ExitReason.EXIT_REASON_TIMED_OUT));
  });
});

describe("is kept", () => {
  // An init whose launcher has gone is the host's first process's to reap.
  afterEach(() => until(() => daemon.leftovers().length === 0));

  itRequires("cgroups", "while there is no daemon, and no launcher", async () => {
    const { id } = await daemon.started(script(`exec ${FIXTURES}/flee`));
    await daemon.end("SIGKILL");
    await until(() => exitFlags(daemon, id).ended);
    await sleep(300);
    await daemon.startAgain();
    expectUsedUp(await exitOf(daemon.client, id));
  });

  itRequires("cgroups", "when daemon and launcher are killed, and the next ones are there", async () => {
    const { id } = await daemon.started(script(`sleep 2; ${BUSY}`));
    process.kill(daemon.launcher, "SIGKILL");
    await daemon.restart("SIGKILL");
    expectUsedUp(await exitOf(daemon.client, id));
  });

  itRequires("cgroups", "when the launcher is killed", async () => {
    const { id } = await daemon.started(script(`sleep 1; ${BUSY}`));
    process.kill(daemon.launcher, "SIGKILL");
    expectUsedUp(await exitOf(daemon.client, id));
  });
});

itRequires("root", "is refused where no cgroup counts it, unless the client allows that", async () => {
  using scratch = new Scratch();
  await using bare = await OwnDaemon.start({ program: programWithoutCgroups(scratch) });
  const { client } = bare;
  const request = { allocId: "a", taskName: "t", ...script("exit 3", 1), mounts: [] };
  const refused = await failure(client.configure(request));
  expect(refused).toMatchObject({ code: "FAILED_PRECONDITION", reason: "UNENFORCEABLE" });
  expect(Object.keys(refused.metadata).sort()).toEqual(["cgroup", "cpu_time_limit"]);
  const { id, unenforced } = await client.configure({ ...request, allowUnenforced: true });
  expect(unenforced.map(({ name }) => name)).toEqual(["cgroup", "cpu_time_limit"]);
  await client.start(id);
  expect(await exitOf(client, id)).toMatchObject(exited(3));
});
