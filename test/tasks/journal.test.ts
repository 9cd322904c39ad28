import { Journal } from "../../src/tasks/journal";
import type { InitExit, TaskRecord } from "../../src/tasks/ports";

const PENDING: InitExit = {
  waitStatus: 0,
  ended: false,
  started: false,
  limited: false,
  overrun: undefined,
  startedNs: 0n,
  exitedNs: 0n,
  stdoutDroppedBytes: 0n,
  stderrDroppedBytes: 0n,
  outputTruncated: false,
  cpuUserUs: 0n,
  cpuSystemUs: 0n,
  memoryPeakBytes: 0n,
};

function journal(reads: (InitExit | undefined)[]): Journal {
  return new Journal({ uuid: "t" } as TaskRecord, {
    write: () => Promise.resolve(),
    sync: () => undefined,
    watchExit: () => () => undefined,
    readExit: () => Promise.resolve(reads.length > 1 ? reads.shift() : reads[0]),
  });
}

/** A journal whose init writes what the test has it write. */
function watched(first: InitExit | undefined): {
  readonly journal: Journal;
  readonly write: (exit: InitExit | undefined) => void;
  readonly isWatched: () => boolean;
} {
  let there = first;
  let told: (() => void) | undefined;
  const one = new Journal({ uuid: "t" } as TaskRecord, {
    write: () => Promise.resolve(),
    sync: () => undefined,
    watchExit: (_uuid, written) => {
      told = written;
      return () => (told = undefined);
    },
    readExit: () => Promise.resolve(there),
  });
  const write = (exit: InitExit | undefined): void => {
    there = exit;
    told?.();
  };
  return { journal: one, write, isWatched: () => told !== undefined };
}

const never = new Promise<undefined>(() => undefined);
const LIMITED: InitExit = { ...PENDING, started: true, limited: true };
const OVERRUN: InitExit = { ...LIMITED, overrun: "timeout" };

it("an overrun that init had written of before is found", async () => {
  const { journal: one, isWatched } = watched(OVERRUN);
  expect(await one.overrun(never)).toBe("timeout");
  expect(isWatched()).toBe(false);
});

it("an overrun is waited for, whatever else init writes before", async () => {
  const { journal: one, write, isWatched } = watched(undefined);
  const overrun = one.overrun(never);
  for (const exit of [undefined, LIMITED, LIMITED]) {
    write(exit);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isWatched()).toBe(true);
  }
  write({ ...LIMITED, overrun: "cpu_time" });
  expect(await overrun).toBe("cpu_time");
  expect(isWatched()).toBe(false);
});

it("an overrun is not waited for where init keeps no limit, nor longer than init is there", async () => {
  const without = watched({ ...PENDING, started: true });
  expect(await without.journal.overrun(never)).toBeUndefined();
  expect(without.isWatched()).toBe(false);
  const within = watched(LIMITED);
  let end = (): void => undefined;
  const overrun = within.journal.overrun(
    new Promise<undefined>((resolve) => (end = () => resolve(undefined))),
  );
  await new Promise((resolve) => setImmediate(resolve));
  expect(within.isWatched()).toBe(true);
  end();
  expect(await overrun).toBeUndefined();
  expect(within.isWatched()).toBe(false);
});

const killInit = (): void => undefined;

it("a start that nobody has told of is looked for until init has written of it", async () => {
  const started = { ...PENDING, started: true, startedNs: 5n };
  const exited = new Promise<undefined>(() => undefined);
  expect(await journal([undefined, PENDING, PENDING, started]).startOf({ exited, killInit })).toEqual({
    kind: "executed",
    atNs: 5n,
  });
});

it("is none once init has ended, unless that is what it has written last", async () => {
  const exited = Promise.resolve(undefined);
  expect(await journal([PENDING]).startOf({ exited, killInit })).toEqual({ kind: "never" });
  const started = { ...PENDING, started: true, startedNs: 5n };
  expect(await journal([PENDING, started]).startOf({ exited, killInit })).toEqual({
    kind: "executed",
    atNs: 5n,
  });
});

it("is not known where what init has written cannot be read", async () => {
  const exited = Promise.resolve(undefined);
  expect(await journal([undefined]).startOf({ exited, killInit })).toEqual({ kind: "unknown" });
});

it("what is noted is known at once", async () => {
  const written: unknown[] = [];
  const one = new Journal({ uuid: "t", killSent: false } as TaskRecord, {
    write: (record) => Promise.resolve(void written.push(record)),
    sync: () => undefined,
    watchExit: () => () => undefined,
    readExit: () => Promise.resolve(undefined),
  });
  const noted = one.note({ killSent: true });
  expect(one.known.killSent).toBe(true);
  await noted;
  expect(written).toEqual([{ uuid: "t", killSent: true }]);
});

it("what cannot be read for a shortage is read again", async () => {
  let short = 2;
  const one = new Journal({ uuid: "t" } as TaskRecord, {
    write: () => Promise.resolve(),
    sync: () => undefined,
    watchExit: () => () => undefined,
    readExit: () => (short-- > 0 ? Promise.reject(new Error("EMFILE")) : Promise.resolve(PENDING)),
  });
  expect(await one.readExit()).toBe(PENDING);
});
