import { constants } from "node:os";

import type { ConfigureFields, Exit } from "../../src/client";
import { failure, TestDaemon } from "../support/daemon";
import { died, exited, exitOf, forceStopped } from "../support/exits";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires, SLOW } from "../support/requires";

const { SIGABRT, SIGKILL, SIGSEGV, SIGTERM } = constants.signals;

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

async function exitOfScript(script: string, request?: ConfigureFields): Promise<Exit> {
  return (await daemon.run(script, request)).exit;
}

/** In nanoseconds since the epoch. */
function time({ startedAt, exitedAt }: Exit): { started: bigint; ended: bigint } {
  if (startedAt === undefined || exitedAt === undefined) throw new Error("the exit has no times");
  const [started, ended] = [startedAt, exitedAt].map(
    ({ seconds, nanos }) => seconds * 1_000_000_000n + BigInt(nanos),
  );
  return { started: started ?? 0n, ended: ended ?? 0n };
}

describe("how a task ended", () => {
  it.each([0, 1, 7, 126, 127, 128, 137, 143, 255])("is its exit code %i, exactly", async (code) => {
    expect(await exitOfScript(`exit ${code}`)).toMatchObject({
      ...exited(code),
      oomKilled: false,
      coreDumped: false,
    });
  });

  it(
    "is every exit code there is, exactly",
    async () => {
      const codes = Array.from({ length: 256 }, (_, code) => code);
      for (let first = 0; first < codes.length; first += 16) {
        const some = codes.slice(first, first + 16);
        const exits = await Promise.all(some.map((code) => exitOfScript(`exit ${code}`)));
        expect(exits.map(({ status }) => status)).toEqual(
          some.map((value) => ({ $case: "exitCode", value })),
        );
      }
    },
    60_000 * SLOW,
  );

  it.each([
    ["TERM", SIGTERM],
    ["KILL", SIGKILL],
    ["SEGV", SIGSEGV],
    ["ABRT", SIGABRT],
    ["RTMIN", 34],
  ])("is SIG%s, which it sent itself", async (name, signal) => {
    expect(await exitOfScript(`kill -${name} $$`)).toMatchObject({
      ...died(signal),
      oomKilled: false,
      coreDumped: false,
    });
  });

  it("is the signal that someone else sent", async () => {
    const { id, pid } = await daemon.started();
    process.kill(pid, "SIGKILL");
    expect(await exitOf(daemon.client, id)).toMatchObject(died(SIGKILL));
  });

  it("is that of the main process, whatever its children did", async () => {
    expect(await exitOfScript("sh -c 'kill -KILL $$'; sh -c 'exit 9' & exit 3")).toMatchObject(exited(3));
  });

  it("has times in order, within those of the calls", async () => {
    const before = BigInt(Date.now()) * 1_000_000n;
    const { started, ended } = time(await exitOfScript("true"));
    const after = BigInt(Date.now() + 1) * 1_000_000n;
    const inOrder = [before, started, ended, after];
    expect(inOrder).toEqual([...inOrder].sort((a, b) => (a < b ? -1 : 1)));
  });

  itRequires(["core-dumps", "root"], "has a core dump only where its limit lets it", async () => {
    // A writable directory, and a shell that raises the soft limit, which is 0, to the hard one.
    const script = (limit: string): string => `cd /local; ${limit}; kill -SEGV $$`;
    const [none, some] = await Promise.all([
      daemon.run(script("ulimit -S -c")),
      daemon.run(script("ulimit -S -c $(ulimit -H -c)")),
    ]);
    expect(none.stdout).toBe("0\n");
    expect(none.exit).toMatchObject({ ...died(SIGSEGV), coreDumped: false });
    expect(some.exit).toMatchObject({ ...died(SIGSEGV), coreDumped: true });
  });
});

describe("Wait", () => {
  it("answers fifty callers alike", async () => {
    const { id } = await daemon.started();
    const waiting = Array.from({ length: 50 }, () => exitOf(daemon.client, id));
    await daemon.client.shutdown({ id });
    const exits = await Promise.all(waiting);
    expect(exits[0]).toMatchObject(died(SIGTERM));
    for (const exit of exits) expect(exit).toEqual(exits[0]);
  });

  it("may come before Start", async () => {
    const id = await daemon.configure({ command: "/bin/sh", args: ["-c", "exit 7"] });
    const waiting = exitOf(daemon.client, id);
    await daemon.client.start(id);
    expect(await waiting).toMatchObject(exited(7));
  });

  it("may come after the end, again and again, with the same answer", async () => {
    const { id, exit } = await daemon.run("exit 7");
    expect(exit).toMatchObject(exited(7));
    expect(await exitOf(daemon.client, id)).toEqual(exit);
    expect(await exitOf(daemon.client, id)).toEqual(exit);
  });

  it("finds nothing of the task left", async () => {
    // The background process keeps the output open, in a session of its own.
    const id = await daemon.configure({ command: "/bin/sh", args: ["-c", "setsid sleep 1000 & exit 2"] });
    await daemon.client.start(id);
    expect(await exitOf(daemon.client, id)).toMatchObject(exited(2));
    expect(daemon.leftovers()).toEqual([]);
  });

  it("doesn't touch the task when it is cancelled", async () => {
    const { id, pid } = await daemon.started();
    const caller = new AbortController();
    const cancelled = failure(daemon.client.wait(id, { signal: caller.signal }));
    const other = exitOf(daemon.client, id);
    // Calls of one connection arrive in order: the answer to a later one says that Wait is under way.
    await daemon.client.open({ id });
    caller.abort();
    expect(await cancelled).toMatchObject({ code: "CANCELLED" });
    expect(await daemon.client.open({ id })).toMatchObject({ exit: undefined });
    expect(process.kill(pid, 0)).toBe(true);
    await daemon.client.forceStop(id);
    expect(await other).toMatchObject(forceStopped());
  });

  it("doesn't touch the task when its deadline is shorter", async () => {
    const { id, pid } = await daemon.started();
    const error = await failure(daemon.client.wait(id, { timeoutMs: 100 }));
    expect(error).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(process.kill(pid, 0)).toBe(true);
    await daemon.client.forceStop(id);
  });

  it("answers NEVER_STARTED to those who wait for a task that was stopped before Start", async () => {
    const id = await daemon.configure({ command: "/bin/true" });
    const waiting = exitOf(daemon.client, id);
    const { exit } = await daemon.client.forceStop(id);
    expect(await waiting).toEqual(exit);
  });

  it("is NOT_FOUND for an id that names no task", async () => {
    const error = await failure(daemon.client.wait("CGROUP:/stockade/01890000-0000-7000-8000-000000000000"));
    expect(error).toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND" });
  });
});

it(
  "no exit is lost of 200 tasks that end in the microsecond they are started",
  async () => {
    for (let round = 0; round < 25; round++) {
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          const id = await daemon.configure({ command: "/bin/true" });
          const waiting = exitOf(daemon.client, id);
          const { pid } = await daemon.client.start(id);
          expect(pid).toBeGreaterThan(1);
          const exit = await waiting;
          expect(exit).toMatchObject(exited(0));
          const { started, ended } = time(exit);
          expect(ended).toBeGreaterThanOrEqual(started);
        }),
      );
    }
  },
  60_000 * SLOW,
);
