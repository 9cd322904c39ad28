import type { InitExit } from "../../src/tasks/ports.js";
import { decodeWaitStatus, nameEnding, type Ending } from "../../src/tasks/verdict.js";

const exited = (code: number): number => code << 8;

function init(waitStatus: number, parts: Partial<InitExit> = {}): InitExit {
  return {
    waitStatus,
    ended: true,
    started: true,
    limited: false,
    overrun: undefined,
    outputTruncated: false,
    startedNs: 100n,
    exitedNs: 200n,
    stdoutDroppedBytes: 3n,
    stderrDroppedBytes: 4n,
    cpuUserUs: 0n,
    cpuSystemUs: 0n,
    memoryPeakBytes: 0n,
    ...parts,
  };
}

function ending(parts: Partial<Ending>): Ending {
  return {
    cause: undefined,
    exit: undefined,
    oomKills: 0,
    startedNs: 100n,
    usage: {},
    nowNs: 999n,
    ...parts,
  };
}

describe("a wait status", () => {
  it.each([
    [exited(0), { kind: "exitCode", code: 0 }, false],
    [exited(7), { kind: "exitCode", code: 7 }, false],
    [exited(255), { kind: "exitCode", code: 255 }, false],
    [exited(137), { kind: "exitCode", code: 137 }, false],
    [9, { kind: "signal", signal: 9 }, false],
    [64, { kind: "signal", signal: 64 }, false],
    [11 | 0x80, { kind: "signal", signal: 11 }, true],
    [0x137f, { kind: "unknown" }, false],
    [undefined, { kind: "unknown" }, false],
  ])("%s is %o", (word, status, coreDumped) => {
    expect(decodeWaitStatus(word)).toEqual({ status, coreDumped });
  });
});

describe("an ending", () => {
  it("is no earlier than the start, whatever was done to the clock meanwhile", () => {
    const seen = nameEnding(ending({ exit: init(exited(0), { exitedNs: 50n }) }));
    const unseen = nameEnding(ending({ exit: undefined, nowNs: 50n }));
    for (const exit of [seen, unseen]) expect(exit).toMatchObject({ startedNs: 100n, exitedNs: 100n });
    expect(nameEnding(ending({ cause: "never_started", nowNs: 50n })).exitedNs).toBe(50n);
  });

  it("is EXITED, with times and what was dropped", () => {
    expect(nameEnding(ending({ exit: init(exited(3)), usage: { pidsPeak: 5n } }))).toEqual({
      status: { kind: "exitCode", code: 3 },
      reason: "EXITED",
      oomKilled: false,
      coreDumped: false,
      startedNs: 100n,
      exitedNs: 200n,
      usage: { pidsPeak: 5n },
      stdoutDroppedBytes: 3n,
      stderrDroppedBytes: 4n,
      outputTruncated: false,
    });
  });

  it("is SIGNALED by a signal of its own, with its core dump", () => {
    expect(nameEnding(ending({ exit: init(6 | 0x80) }))).toMatchObject({
      status: { kind: "signal", signal: 6 },
      reason: "SIGNALED",
      coreDumped: true,
    });
  });

  it("is SIGNALED by a SIGKILL without an OOM kill", () => {
    expect(nameEnding(ending({ exit: init(9) }))).toMatchObject({ reason: "SIGNALED", oomKilled: false });
  });

  it("is OOM_KILLED by a SIGKILL with one", () => {
    expect(nameEnding(ending({ exit: init(9), oomKills: 1 }))).toMatchObject({
      status: { kind: "signal", signal: 9 },
      reason: "OOM_KILLED",
      oomKilled: true,
    });
  });

  it("is SIGNALED by the SIGKILL of a Shutdown, OOM kill or not", () => {
    const killed = nameEnding(ending({ exit: init(9), oomKills: 1, killSent: true }));
    expect(killed).toMatchObject({ reason: "SIGNALED", oomKilled: true });
  });

  it.each([exited(1), 15])("with status %d keeps its reason where another process was OOM-killed", (word) => {
    expect(nameEnding(ending({ exit: init(word), oomKills: 2 }))).toMatchObject({
      reason: word === 15 ? "SIGNALED" : "EXITED",
      oomKilled: true,
    });
  });

  it.each([
    ["force_stop", "FORCE_STOPPED"],
    ["shutdown_grace", "FORCE_STOPPED"],
    ["timeout", "TIMED_OUT"],
    ["cpu_time", "CPU_TIME_EXCEEDED"],
  ] as const)("for the cause %s is %s, unless it has ended by itself", (cause, reason) => {
    expect(nameEnding(ending({ cause, exit: init(9), oomKills: 1 }))).toMatchObject({
      status: { kind: "signal", signal: 9 },
      reason,
      oomKilled: true,
    });
    expect(nameEnding(ending({ cause, exit: init(exited(0)) }))).toMatchObject({
      status: { kind: "exitCode", code: 0 },
      reason: "EXITED",
    });
    expect(nameEnding(ending({ cause, exit: init(15) }))).toMatchObject({
      status: { kind: "signal", signal: 15 },
      reason: "SIGNALED",
    });
    expect(nameEnding(ending({ cause }))).toMatchObject({
      status: { kind: "unknown" },
      reason,
      startedNs: 100n,
      exitedNs: 999n,
    });
  });

  it.each([
    ["timeout", "TIMED_OUT"],
    ["cpu_time", "CPU_TIME_EXCEEDED"],
  ] as const)(
    "for the %s that init has written of is %s, unless it has ended by itself",
    (overrun, reason) => {
      const of = (waitStatus: number, parts: Partial<Ending> = {}): string =>
        nameEnding(ending({ exit: init(waitStatus, { overrun }), ...parts })).reason;
      expect(of(9)).toBe(reason);
      expect(of(9, { oomKills: 1 })).toBe(reason);
      expect(of(9, { killSent: true })).toBe(reason);
      expect(of(exited(0))).toBe("EXITED");
      expect(of(15)).toBe("SIGNALED");
      expect(of(9, { cause: "force_stop" })).toBe("FORCE_STOPPED");
      const killed = nameEnding(ending({ exit: init(0, { overrun, ended: false }) }));
      expect(killed).toMatchObject({ reason, status: { kind: "unknown" } });
    },
  );

  it("has output that may be missing where init says so, or has not lived to say that it is not", () => {
    const of = (parts: Partial<InitExit>): boolean =>
      nameEnding(ending({ cause: "force_stop", exit: init(9, parts) })).outputTruncated;
    expect(of({})).toBe(false);
    expect(of({ outputTruncated: true })).toBe(true);
    expect(of({ ended: false })).toBe(true);
    expect(nameEnding(ending({ cause: "force_stop" })).outputTruncated).toBe(true);
  });

  it.each([
    ending({ cause: "never_started" }),
    ending({ cause: "never_started", exit: init(9, { started: false }) }),
    ending({ cause: "force_stop", exit: init(9, { started: false }) }),
    ending({ exit: init(exited(0), { started: false }) }),
  ])("is NEVER_STARTED without a status or a start (%#)", (parts) => {
    expect(nameEnding(parts)).toMatchObject({
      status: { kind: "unknown" },
      reason: "NEVER_STARTED",
      coreDumped: false,
      startedNs: undefined,
      exitedNs: 999n,
      outputTruncated: false,
    });
  });

  it.each([undefined, init(0, { ended: false, exitedNs: 0n }), init(0x137f)])(
    "is LOST where nobody has seen it (%#)",
    (exit) => {
      expect(nameEnding(ending({ exit }))).toMatchObject({
        status: { kind: "unknown" },
        reason: "LOST",
        startedNs: 100n,
      });
    },
  );
});
