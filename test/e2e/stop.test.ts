import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

import {
  ExitReason,
  StockadeClient,
  type ConfigureFields,
  type Exit,
  type StockadeError,
} from "../../src/client";
import { readCgroupFile } from "../support/cgroup-files";
import { failure, TestDaemon, until, type Started } from "../support/daemon";
import { died, exited, exitOf, forceStopped, neverStarted } from "../support/exits";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { freezers } from "../support/freezers";
import { expectNothingLeft } from "../support/leftovers";
import { isGone } from "../support/processes";
import { itRequires } from "../support/requires";

/** Longer than any test takes: what passes it has not been waited for. */
const NEVER = { seconds: 3600n, nanos: 0 };
const SOON = { seconds: 0n, nanos: 100_000_000 };
const AT_ONCE = { seconds: 0n, nanos: 0 };

/** How long the daemons of tasks sleep: numbers that no other process on the host has as an argument. */
const DAEMON_SECONDS = [`100${process.pid}`, `200${process.pid}`] as const;

let daemon: TestDaemon;
let fixtures: Fixtures;

beforeAll(async () => {
  fixtures = await Fixtures.make("fork-bomb", "blocked-in-vfork");
  daemon = await TestDaemon.start(fixtures.config);
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

function start(request: ConfigureFields): Promise<Started> {
  return daemon.started({ mounts: fixtures.mounts, ...request });
}

/** A script that has been started and has come to its "echo ready". */
async function ready(script: string): Promise<Started> {
  const task = await start({ command: "/bin/sh", args: ["-c", script] });
  await until(async () => (await daemon.output(task.id)).stdout.includes("ready\n"));
  return task;
}

const sleeping = (): Promise<Started> => start({ command: "/bin/sleep", args: ["1000"] });

/** Deaf to SIGTERM, as are its children. */
const deaf = (): Promise<Started> => ready('trap "" TERM; echo ready; sleep 1000 & wait');

describe("Shutdown", () => {
  it("answers the exit code of a task that handles SIGTERM", async () => {
    const { id } = await ready('trap "echo bye; exit 9" TERM; echo ready; sleep 1000 & wait');
    const { exit } = await daemon.client.shutdown({ id });
    expect(exit).toMatchObject(exited(9));
    expect(await exitOf(daemon.client, id)).toEqual(exit);
    expect((await daemon.output(id)).stdout).toBe("ready\nbye\n");
  });

  it("answers SIGNALED for a task that dies of its signal", async () => {
    const { id } = await sleeping();
    expect((await daemon.client.shutdown({ id, gracePeriod: NEVER })).exit).toMatchObject(died(15));
  });

  it("kills a task that ignores the signal, after the grace period", async () => {
    const { id } = await deaf();
    expect((await daemon.client.shutdown({ id, gracePeriod: SOON })).exit).toMatchObject(forceStopped());
  });

  it("sends no signal with a grace period of zero, but kills", async () => {
    const { id } = await ready('trap "echo handled; exit 0" TERM; echo ready; sleep 1000 & wait');
    expect((await daemon.client.shutdown({ id, gracePeriod: AT_ONCE })).exit).toMatchObject(forceStopped());
    expect((await daemon.output(id)).stdout).toBe("ready\n");
  });

  it.each(["SIGUSR1", "USR1", "usr1", "10"])("sends the signal that is asked for: %s", async (signal) => {
    const { id } = await ready('trap "exit 3" USR1; trap "exit 4" TERM; echo ready; sleep 1000 & wait');
    expect((await daemon.client.shutdown({ id, signal, gracePeriod: NEVER })).exit).toMatchObject(exited(3));
  });

  it("answers SIGNALED when it was SIGKILL that it was asked to send", async () => {
    const { id } = await sleeping();
    const { exit } = await daemon.client.shutdown({ id, signal: "KILL", gracePeriod: NEVER });
    expect(exit).toMatchObject(died(9));
  });

  it("signals the main process alone, and takes the others with it at its end", async () => {
    const script = `sh -c 'trap "echo wrong" TERM; while :; do sleep 1000; done' & echo ready; exec sleep 1000`;
    const { id } = await ready(script);
    expect((await daemon.client.shutdown({ id, gracePeriod: NEVER })).exit).toMatchObject(died(15));
    expect(daemon.leftovers()).toEqual([]);
    expect((await daemon.output(id)).stdout).toBe("ready\n");
  });

  it("may be followed by another one, with another signal, while the task takes its time", async () => {
    const { id } = await ready('trap "" TERM; trap "exit 3" USR1; echo ready; sleep 1000 & wait');
    const first = daemon.client.shutdown({ id, gracePeriod: NEVER });
    await daemon.client.open({ id });
    const second = await daemon.client.shutdown({ id, signal: "USR1", gracePeriod: NEVER });
    expect(second.exit).toMatchObject(exited(3));
    expect((await first).exit).toEqual(second.exit);
  });

  it.each([
    ["a shorter grace period", NEVER, SOON],
    ["a longer one", SOON, NEVER],
  ])("followed by another with %s ends at the earlier of both", async (_which, first, second) => {
    const { id } = await deaf();
    // On one connection they come in their order.
    const both = [first, second].map((gracePeriod) => daemon.client.shutdown({ id, gracePeriod }));
    const [one, other] = await Promise.all(both);
    expect(one?.exit).toMatchObject(forceStopped());
    expect(other?.exit).toEqual(one?.exit);
  });

  it("is overtaken by a ForceStop", async () => {
    const { id } = await deaf();
    const shutdown = daemon.client.shutdown({ id, gracePeriod: NEVER });
    await daemon.client.open({ id });
    const { exit } = await daemon.client.forceStop(id);
    expect(exit).toMatchObject(forceStopped());
    expect((await shutdown).exit).toEqual(exit);
  });

  it("is carried through when its caller has gone", async () => {
    const { id } = await deaf();
    const caller = new AbortController();
    const call = failure(daemon.client.shutdown({ id, gracePeriod: SOON }, { signal: caller.signal }));
    // Calls of one connection arrive in order: the answer to a later one says that Shutdown is under way.
    await daemon.client.open({ id });
    caller.abort();
    expect(await call).toMatchObject({ code: "CANCELLED" });
    expect(await exitOf(daemon.client, id)).toMatchObject(forceStopped());
  });

  it("before Start is NEVER_STARTED", async () => {
    const id = await daemon.configure({ command: "/bin/true" });
    expect((await daemon.client.shutdown({ id })).exit).toMatchObject(neverStarted());
  });

  it("after the end is ENDED", async () => {
    const { id } = await daemon.run("exit 0");
    const error = await failure(daemon.client.shutdown({ id }));
    expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "ENDED" });
  });
});

describe("ForceStop", () => {
  it("kills a task, and answers as Wait does", async () => {
    const { id, pid } = await sleeping();
    const { exit } = await daemon.client.forceStop(id);
    expect(daemon.leftovers()).toEqual([]);
    expect(exit).toMatchObject(forceStopped());
    expect(await exitOf(daemon.client, id)).toEqual(exit);
    expect(isGone(pid)).toBe(true);
  });

  it("before Start is NEVER_STARTED", async () => {
    const id = await daemon.configure({ command: "/bin/true" });
    const { exit } = await daemon.client.forceStop(id);
    expect(daemon.leftovers()).toEqual([]);
    expect(exit).toMatchObject(neverStarted());
    expect((await daemon.client.forceStop(id)).exit).toEqual(exit);
  });

  it("repeated is OK, with the same answer", async () => {
    const { id } = await sleeping();
    const { exit } = await daemon.client.forceStop(id);
    for (let times = 0; times < 3; times++) expect((await daemon.client.forceStop(id)).exit).toEqual(exit);
  });

  it("on a task that has ended by itself is OK, and doesn't change how it ended", async () => {
    const { id, exit } = await daemon.run("exit 7");
    expect((await daemon.client.forceStop(id)).exit).toEqual(exit);
    expect(exit).toMatchObject(exited(7));
  });

  it("from ten clients at once is OK for each, with one answer", async () => {
    const { id } = await deaf();
    const clients = Array.from({ length: 10 }, () => new StockadeClient(daemon.daemon.address));
    try {
      // Connected, so that none has to when the others have their answers.
      await Promise.all(clients.map((client) => client.open({ id })));
      const answers = await Promise.all(clients.map((client) => client.forceStop(id)));
      expect(daemon.leftovers()).toEqual([]);
      expect(answers[0]?.exit).toMatchObject(forceStopped());
      for (const { exit } of answers) expect(exit).toEqual(answers[0]?.exit);
    } finally {
      for (const client of clients) client.close();
    }
  });

  it("is carried through when its caller has gone", async () => {
    const { id } = await deaf();
    const caller = new AbortController();
    const call = daemon.client.forceStop(id, { signal: caller.signal }).catch(() => "cancelled");
    await daemon.client.open({ id });
    caller.abort();
    await call;
    expect(await exitOf(daemon.client, id)).toMatchObject(forceStopped());
  });

  it("loses nothing of what the task has written", async () => {
    const { id } = await ready("seq 1 20000; echo ready; exec sleep 1000");
    await daemon.client.forceStop(id);
    const numbers = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join("");
    expect((await daemon.output(id)).stdout).toBe(`${numbers}ready\n`);
  });

  itRequires("cgroups", "kills a fork bomb at its pids limit", async () => {
    const id = await daemon.configure({ command: `${FIXTURES}/fork-bomb`, mounts: fixtures.mounts });
    await daemon.client.limit({ id, resources: { pidsMax: 60n } });
    await daemon.client.start(id);
    await until(() => readCgroupFile(id, "pids.current") === "60");
    const { exit } = await daemon.client.forceStop(id);
    expect(daemon.leftovers()).toEqual([]);
    expect(exit).toMatchObject(forceStopped());
  });

  it("kills a daemon that has forked twice, in a session of its own, deaf to signals", async () => {
    const daemonise = `(trap "" TERM HUP INT; setsid sh -c "setsid sleep ${DAEMON_SECONDS[0]} >/dev/null 2>&1 </dev/null &")`;
    const { id } = await ready(`${daemonise}; echo ready; exec sleep 1000`);
    await until(() => sleepers(DAEMON_SECONDS[0]).length === 1);
    const { exit } = await daemon.client.forceStop(id);
    expect(sleepers(DAEMON_SECONDS[0])).toEqual([]);
    expect(exit).toMatchObject(forceStopped());
  });

  it("kills a daemon that outlives the main process before Wait answers", async () => {
    const { exit } = await daemon.run(
      `(trap "" TERM HUP; setsid sh -c "setsid sleep ${DAEMON_SECONDS[1]} &"); exit 5`,
    );
    expect(sleepers(DAEMON_SECONDS[1])).toEqual([]);
    expect(exit).toMatchObject(exited(5));
  });

  it("kills a task that is stopped", async () => {
    const { id, pid } = await sleeping();
    process.kill(pid, "SIGSTOP");
    await until(() => readFileSync(`/proc/${pid}/stat`, "utf8").includes(" T "));
    expect((await daemon.client.forceStop(id)).exit).toMatchObject(forceStopped());
  });

  it("kills a task that is blocked in vfork", async () => {
    const { id, pid } = await start({ command: `${FIXTURES}/blocked-in-vfork` });
    await until(async () => (await daemon.output(id)).stdout === "blocked\n");
    const { exit } = await daemon.client.forceStop(id);
    expect(isGone(pid)).toBe(true);
    expect(exit).toMatchObject(forceStopped());
  });

  for (const how of ["ForceStop", "Shutdown"] as const) {
    itRequires("cgroups", `${how} kills a frozen task`, async () => {
      for (const freeze of freezers(daemon.cgroupRoot)) {
        const { id } = await deaf();
        await freeze(id);
        const { exit } =
          how === "ForceStop"
            ? await daemon.client.forceStop(id)
            : await daemon.client.shutdown({ id, gracePeriod: SOON });
        expect(daemon.leftovers()).toEqual([]);
        expect(exit).toMatchObject(forceStopped());
      }
    });
  }

  it("at the same moment as Start leaves nothing, whichever comes first", async () => {
    for (let round = 0; round < 30; round++) {
      const id = await daemon.configure({ command: "/bin/sleep", args: ["1000"] });
      const [started, { exit }] = await Promise.all([
        daemon.client.start(id).then(
          () => true,
          () => false,
        ),
        daemon.client.forceStop(id),
      ]);
      expect(daemon.leftovers()).toEqual([]);
      const { EXIT_REASON_FORCE_STOPPED, EXIT_REASON_NEVER_STARTED } = ExitReason;
      if (started) expect(exit?.reason).toBe(EXIT_REASON_FORCE_STOPPED);
      else expect([EXIT_REASON_FORCE_STOPPED, EXIT_REASON_NEVER_STARTED]).toContain(exit?.reason);
    }
  });

  it("of Shutdown at the same moment as Start never ends the process that is not the command yet", async () => {
    for (let round = 0; round < 30; round++) {
      const id = await daemon.configure({ command: "/bin/sleep", args: ["1000"] });
      const [reason, { exit }] = await Promise.all([
        daemon.client.start(id).then(
          () => "started",
          (error: unknown) => (error as StockadeError).reason,
        ),
        daemon.client.shutdown({ id, gracePeriod: { seconds: 60n, nanos: 0 } }),
      ]);
      const { EXIT_REASON_SIGNALED, EXIT_REASON_NEVER_STARTED } = ExitReason;
      expect(["started", "ENDED"]).toContain(reason);
      expect(exit?.reason).toBe(reason === "started" ? EXIT_REASON_SIGNALED : EXIT_REASON_NEVER_STARTED);
    }
  });

  it("at the same moment as the task's own end tells one truth to all", async () => {
    for (let round = 0; round < 30; round++) {
      const { id } = await start({ command: "/bin/true" });
      const [{ exit }, waited] = await Promise.all([daemon.client.forceStop(id), exitOf(daemon.client, id)]);
      expect(exit).toEqual(waited);
      if (exit?.status?.$case === "exitCode") expect(exit).toMatchObject(exited(0));
      else expect(exit).toMatchObject(forceStopped());
    }
  });

  it("after the main process has exited, and before anybody has seen it, changes nothing", async () => {
    for (let round = 0; round < 30; round++) {
      const { id, pid } = await start({ command: "/bin/sleep", args: ["0.02"] });
      while (!hasExited(pid));
      expect((await daemon.client.forceStop(id)).exit).toMatchObject(exited(0));
    }
  });
});

/** Whether it is a zombie or gone; asked again and again, without a turn of the event loop in between. */
function hasExited(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

describe("a cgroup that can't be removed", () => {
  itRequires(["root", "cgroups"], "is tried again until it can, and Wait answers only then", async () => {
    const { id, pid } = await ready("trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done");
    const [dir] = daemon.taskCgroups();
    if (dir === undefined) throw new Error("the task has no cgroup");
    execFileSync("mount", ["-t", "tmpfs", "none", dir]);
    let answered = false;
    const exit = exitOf(daemon.client, id).finally(() => (answered = true));
    try {
      process.kill(pid, "SIGTERM");
      await until(() => daemon.logged.includes("something of an ended task is left"), 30_000);
      expect(answered).toBe(false);
    } finally {
      execFileSync("umount", [dir]);
    }
    expect(await exit).toMatchObject(exited(3));
    expect(daemon.leftovers()).toEqual([]);
  });

  for (const how of ["ForceStop", "the end of a grace period"] as const) {
    itRequires(["root", "cgroups"], `of a task that has exited does not make ${how} its end`, async () => {
      const { id, pid } = await ready("trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done");
      const [dir] = daemon.taskCgroups();
      if (dir === undefined) throw new Error("the task has no cgroup");
      execFileSync("mount", ["-t", "tmpfs", "none", dir]);
      const lefts = (): number => daemon.logged.split("something of an ended task is left").length;
      const before = lefts();
      let stopped: Promise<{ exit?: Exit | undefined }> | undefined;
      try {
        const gracePeriod = { seconds: 2n, nanos: 0 };
        if (how === "ForceStop") process.kill(pid, "SIGTERM");
        else stopped = daemon.client.shutdown({ id, gracePeriod });
        // Cleaning up goes on for longer than the grace period, and has failed once at the least.
        await Promise.all([
          until(() => lefts() > before, 30_000),
          new Promise((resolve) => setTimeout(resolve, 2_500)),
        ]);
        stopped ??= daemon.client.forceStop(id);
        await daemon.client.open({ id });
      } finally {
        execFileSync("umount", [dir]);
      }
      expect((await stopped).exit).toMatchObject(exited(3));
      expect(await exitOf(daemon.client, id)).toMatchObject(exited(3));
    });
  }

  itRequires(["root", "cgroups"], "does not keep a daemon from stopping", async () => {
    const own = await TestDaemon.start();
    let mounted: string | undefined;
    try {
      await own.started();
      mounted = own.taskCgroups()[0];
      if (mounted === undefined) throw new Error("the task has no cgroup");
      execFileSync("mount", ["-t", "tmpfs", "none", mounted]);
    } finally {
      await own.end("SIGTERM");
      if (mounted !== undefined) execFileSync("umount", [mounted]);
      await own[Symbol.asyncDispose]();
    }
    expect(own.logged).toContain("something of an ended task is left");
  });
});

/** The host's pids of "sleep <seconds>"; the number tells them from those of other tests. */
function sleepers(seconds: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^[0-9]+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8") === `sleep\0${seconds}\0`;
    } catch {
      return false;
    }
  });
}
