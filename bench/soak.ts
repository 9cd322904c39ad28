/**
 * Runs short tasks as fast as it can, for so many minutes, and says as JSON what has grown with them. Exit status 1:
 * something has, or a task's exit was wrong.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { StockadeClient } from "../src/client/index.js";
import type { Resources } from "./resources.js";
import { Sampler } from "./soak-sample.js";
import { runOne } from "./soak-tasks.js";
import { RULE, trendsOf, type Point } from "./soak-verdict.js";
import { withResources } from "./with-resources.js";

/** How many tasks there are at once, in turn. */
const LANES = [8, 16, 32];

/** Between two samples, in milliseconds. */
const ROUND_MS = 5_000;

/** What is removed once its task has ended has this long, before it is counted. In milliseconds. */
const SETTLE_MS = 700;

/** What a daemon takes for itself in its first minute says nothing of the next ones. In milliseconds. */
const WARMUP_MS = 60_000;

const RECORDS = 100;

/** Wrong exits that are told; all are counted. */
const WRONG_MAX = 10;

async function soak(minutes: number, resources: Resources): Promise<boolean> {
  const cgroupRoot = resources.cgroupName();
  const heapFile = join(await resources.directory(), "heap");
  const daemon = await resources.daemon({
    cgroupRoot,
    config: { ended_max_records: RECORDS, remove_alloc_dirs: true },
    env: {
      ...process.env,
      NODE_OPTIONS: `--require ${join(__dirname, "heap-preload.js")}`,
      STOCKADE_BENCH_HEAP: heapFile,
    },
  });
  const { client, directory, pid = 0 } = daemon;
  const sampler = new Sampler({ pid, directory, heapFile, cgroupDirs: await cgroupDirsOf(cgroupRoot) });
  const wrong: string[] = [];
  const points: Point[] = [];
  const totalMs = minutes * 60_000;
  const warmMs = Math.min(WARMUP_MS, totalMs / 3);
  const begin = performance.now();
  let tasks = 0;
  for (let round = 0; performance.now() - begin < totalMs; round++) {
    tasks += await runRound(client, LANES[round % LANES.length] ?? 1, wrong);
    await sleep(SETTLE_MS);
    const sample = await sampler.take();
    if (performance.now() - begin >= warmMs) points.push({ tasks, sample });
  }
  const metrics = trendsOf(points);
  const flat = Object.values(metrics).every((trend) => trend.flat);
  const report = {
    minutes,
    tasks,
    tasks_measured: tasks - (points[0]?.tasks ?? 0),
    samples: points.length,
    wrong_exits: wrong.length,
    wrong: wrong.slice(0, WRONG_MAX),
    rule: RULE,
    metrics,
    flat,
  };
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  return flat && wrong.length === 0;
}

/** Resolves, with how many tasks have been run, when none is alive. */
async function runRound(client: StockadeClient, lanes: number, wrong: string[]): Promise<number> {
  const end = performance.now() + ROUND_MS;
  let tasks = 0;
  const lane = async (): Promise<void> => {
    for (; performance.now() < end; tasks++) {
      const problem = await runOne(client);
      if (problem !== undefined) wrong.push(problem);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return tasks;
}

async function cgroupDirsOf(cgroupRoot: string): Promise<readonly string[]> {
  return (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => join(line.split(" ")[4] ?? "/", cgroupRoot))
    .filter((directory) => existsSync(directory));
}

async function main(minutes: number): Promise<boolean> {
  if (process.geteuid?.() !== 0) throw new Error("limits and cgroups need root: run it as root");
  if (!(minutes >= 1)) throw new Error("MINUTES is how long, one at least");
  return withResources((resources) => soak(minutes, resources));
}

main(Number(process.argv[2])).then(
  (well) => process.exit(well ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`soak: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
