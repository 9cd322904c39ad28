/** Many idle tasks and a few noisy ones: those that start among them end as if they were alone. */
import { statSync } from "node:fs";
import { join } from "node:path";

import { ExitReason, TaskState, type Exit, type Resources } from "../../src/client";
import { readCgroupFile } from "../support/cgroup-files";
import { TestDaemon, until } from "../support/daemon";
import { died, exited, exitOf, forceStopped } from "../support/exits";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires, SLOW } from "../support/requires";

const IDLE = 500;
const STARTING = 50;
/** How many of those start at one time: one after the other, and in groups. */
const TOGETHER = [1, 10];
/** Calls under way at one time. */
const LANES = 8;

const MIB = 1 << 20;
const LOG_BYTES = MIB;
const TMP_BYTES = 16 * MIB;
const PIDS = 64;
/** Processes that a starting task has at one time besides its main one, and MiB that it touches. */
const CROWD = 5;
const TOUCHED = 8;
/** More CPU time than any of them needs, and less than a neighbour's would be. */
const STARTING_CPU_MS = 500;
const IDLE_CPU_MS = 100;

let daemon: TestDaemon;
let fixtures: Fixtures;

beforeAll(async () => {
  fixtures = await Fixtures.make("touch-memory", "crowd", "fork-bomb");
  daemon = await TestDaemon.start({
    ...fixtures.config,
    max_tasks: IDLE + NOISES.length + Math.max(...TOGETHER),
    log_bytes: LOG_BYTES,
    tmp_bytes: TMP_BYTES,
    shm_bytes: TMP_BYTES,
  });
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

/** A shell script that runs, within its limits. */
async function start(script: string, resources?: Partial<Resources>): Promise<string> {
  const id = await daemon.configure({
    command: "/bin/sh",
    args: ["-c", script],
    mounts: fixtures.mounts,
  });
  if (resources !== undefined) await daemon.client.limit({ id, resources });
  await daemon.client.start(id);
  return id;
}

/** Does it for 0 … count-1, a few at one time. */
async function each<Result>(count: number, use: (index: number) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) results[index] = await use(index);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return results;
}

const memoryPeak = ({ usage }: Exit): number => Number(usage?.memoryPeakBytes);

const stopped = async (id: string): Promise<Exit | undefined> => (await daemon.client.forceStop(id)).exit;

/** CPU time of a task, in milliseconds: above 0, and no more than is its own, whatever its neighbours use. */
function expectOwnCpuTime({ usage }: Exit, most: number): void {
  const ms = [usage?.cpuUser, usage?.cpuSystem].map((time) => {
    if (time === undefined) throw new Error("no CPU time is told");
    return Number(time.seconds) * 1000 + time.nanos / 1e6;
  });
  const sum = ms.reduce((total, part) => total + part, 0);
  expect(sum).toBeGreaterThan(0);
  expect(sum).toBeLessThan(most * SLOW);
}

/** Whether the kernel has a file for the most processes that there were. */
async function pidsAreCounted(): Promise<boolean> {
  const id = await daemon.configure({ command: "/bin/true" });
  const counted = readCgroupFile(id, "pids.peak") !== undefined;
  await daemon.client.forceStop(id);
  return counted;
}

/** Starts one task and holds its end against its number; how long it took from Configure to Start's answer, in milliseconds. */
async function startOne(index: number, countsPids: boolean): Promise<number> {
  const from = performance.now();
  const id = await start(
    `${FIXTURES}/crowd ${CROWD} && ${FIXTURES}/touch-memory ${TOUCHED} && echo ${index} >&2; exit ${index}`,
  );
  const took = performance.now() - from;
  const exit = await exitOf(daemon.client, id);
  expect(exit).toMatchObject({
    ...exited(index),
    oomKilled: false,
    stdoutDroppedBytes: 0n,
    stderrDroppedBytes: 0n,
  });
  expect(await daemon.output(id)).toEqual({ stdout: "touched\n", stderr: `${index}\n` });
  // The shell, crowd, and its children.
  expect(exit.usage?.pidsPeak).toBe(countsPids ? BigInt(2 + CROWD) : undefined);
  expect(memoryPeak(exit)).toBeGreaterThanOrEqual(TOUCHED * MIB);
  expect(memoryPeak(exit)).toBeLessThan((TOUCHED + 8) * MIB);
  expectOwnCpuTime(exit, STARTING_CPU_MS);
  return took;
}

/** So many at one time, and the next when all of those have ended; the latencies in their order. */
async function startLatencies(together: number, countsPids: boolean): Promise<number[]> {
  const latencies: number[] = [];
  while (latencies.length < STARTING) {
    const indices = Array.from({ length: together }, (_, index) => latencies.length + index);
    latencies.push(...(await Promise.all(indices.map((index) => startOne(index, countsPids)))));
  }
  return latencies.sort((a, b) => a - b);
}

interface Noise {
  readonly script: string;
  readonly resources: Partial<Resources>;
  /** Whether it has come to where it is to be noisy. */
  readonly isLoud: (id: string) => Promise<boolean>;
  readonly exit: Partial<Exit>;
}

const saysAgain = async (id: string): Promise<boolean> =>
  (await daemon.output(id)).stdout.includes("again\n");

const NOISES: readonly Noise[] = [
  {
    script: `while :; do ${FIXTURES}/touch-memory 256 >/dev/null; echo again; done`,
    resources: { memoryBytes: BigInt(32 * MIB) },
    isLoud: saysAgain,
    exit: { oomKilled: true },
  },
  {
    script: `exec ${FIXTURES}/fork-bomb`,
    resources: { pidsMax: BigInt(PIDS) },
    isLoud: async (id) => readCgroupFile(id, "pids.current") === String(PIDS),
    exit: { oomKilled: false },
  },
  {
    script: "exec cat /dev/zero",
    resources: { pidsMax: 8n },
    isLoud: async (id) => statSync(join(daemon.recordDir(id), "log/stdout")).size > 2 * LOG_BYTES,
    exit: { oomKilled: false, stderrDroppedBytes: 0n },
  },
  {
    script:
      "exec 2>/dev/null; while :; do for d in /tmp /dev/shm; do cat /dev/zero >$d/file; done;" +
      "rm -f /tmp/file /dev/shm/file; echo again; done",
    resources: { memoryBytes: BigInt(64 * MIB + 2 * TMP_BYTES) },
    isLoud: saysAgain,
    exit: { oomKilled: false, stdoutDroppedBytes: 0n },
  },
];

/** The value that so many percent of the sorted ones do not exceed. */
function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? NaN;
}

/** Times are the host's: they are told, and held against nothing. */
function tell(what: string, latencies: readonly number[], alone: readonly number[]): void {
  const told = [50, 99].map((percent) => {
    const took = percentile(latencies, percent);
    const ratio = took / percentile(alone, percent);
    return `p${percent} ${took.toFixed(1)} ms (x ${ratio.toFixed(2)})`;
  });
  process.stdout.write(`start latency, ${what}: ${told.join(", ")}\n`);
}

/** Starts them, and tells of it; `alone`: what it took without neighbours. */
async function startAmong(
  what: string,
  countsPids: boolean,
  alone?: ReadonlyMap<number, readonly number[]>,
): Promise<ReadonlyMap<number, readonly number[]>> {
  const all = new Map<number, readonly number[]>();
  for (const together of TOGETHER) {
    const latencies = await startLatencies(together, countsPids);
    all.set(together, latencies);
    tell(`${together} at once, ${what}`, latencies, alone?.get(together) ?? latencies);
  }
  return all;
}

itRequires(
  "cgroups",
  `${STARTING} tasks start among ${IDLE} idle and ${NOISES.length} noisy ones: all exits, output and usage are exact`,
  async () => {
    const countsPids = await pidsAreCounted();
    const alone = await startAmong("alone", countsPids);
    const descriptors = daemon.descriptors();

    const idle = await each(IDLE, (index) => start(`echo ${index}; exec sleep 100000`));
    expect(new Set(idle).size).toBe(IDLE);
    await startAmong(`among ${IDLE} idle ones`, countsPids, alone);

    const noisy = await Promise.all(
      NOISES.map(async (noise) => ({ noise, id: await start(noise.script, noise.resources) })),
    );
    await until(async () => {
      const loud = await Promise.all(noisy.map(({ noise, id }) => noise.isLoud(id)));
      return loud.every((is) => is);
    }, 60_000);
    await startAmong(`among ${IDLE} idle and ${NOISES.length} noisy ones`, countsPids, alone);

    for (const { noise, id } of noisy) {
      const { state } = await daemon.client.open({ id });
      expect([noise.script, state]).toEqual([noise.script, TaskState.TASK_STATE_RUNNING]);
      expect(await stopped(id)).toMatchObject({ ...forceStopped(), ...noise.exit });
    }
    await each(IDLE, async (index) => {
      const id = idle[index] ?? "";
      const { exit } = await daemon.client.shutdown({ id });
      expect([index, exit]).toEqual([index, expect.objectContaining({ ...died(15), oomKilled: false })]);
      expect(exit?.reason).toBe(ExitReason.EXIT_REASON_SIGNALED);
      expect(exit?.usage?.pidsPeak).toBe(countsPids ? 1n : undefined);
      if (exit !== undefined) expectOwnCpuTime(exit, IDLE_CPU_MS);
      expect(await daemon.output(id)).toEqual({ stdout: `${index}\n`, stderr: "" });
    });
    expect(daemon.leftovers()).toEqual([]);
    await until(() => daemon.descriptors() <= descriptors);
  },
);
