/**
 * How long the daemon's event loop is held by one turn, with many tasks at once and a large heap. By the CPU
 * clock of its thread, since a busy host stalls any loop: a bare one with the same heap runs beside it.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { runCycle } from "./cycle.js";
import { coveredNs, isWithin, parseTurns, type LoopRecord, type Span } from "./loop-record.js";
import { atOnce } from "./measure.js";
import { BENCH_DIST, HEAP_BYTES, TURN_LANES, TURN_MAX_MS, type BenchOptions } from "./options.js";
import type { Resources } from "./resources.js";
import type { Row } from "./rows.js";

export async function measureTurns(options: BenchOptions, resources: Resources): Promise<Row[]> {
  const directory = await resources.directory();
  const turnsFile = join(directory, "turns");
  const daemonLoop = join(directory, "daemon.json");
  const bareLoop = join(directory, "bare.json");

  const bare = spawn(process.execPath, [join(__dirname, "bare-loop.js")], {
    stdio: "ignore",
    env: loopEnv(bareLoop),
  });
  const bareEnded = new Promise((resolve) => bare.once("close", resolve));
  await resources.add(() => bare.kill());
  const daemon = await resources.daemon({
    env: {
      ...loopEnv(daemonLoop),
      LD_PRELOAD: join(BENCH_DIST, "turns.so"),
      STOCKADE_BENCH_TURNS: turnsFile,
    },
  });
  const beginNs = nowNs();
  await atOnce(TURN_LANES, options.turnTasks, () => runCycle(daemon.client));
  const run = { beginNs, endNs: nowNs() };
  await daemon.stop();
  bare.kill();
  await bareEnded;

  const { collections, stalls } = await readRecord(daemonLoop);
  const turns = parseTurns(await readFile(turnsFile, "utf8"))
    .filter((turn) => isWithin(turn, run))
    .map((turn) => ({ with: turn.cpuNs, gcNs: coveredNs(turn, collections) }))
    .map((turn) => ({ ...turn, without: turn.with - turn.gcNs }));
  const longest = Math.max(...turns.map(({ without }) => without)) / 1e6;
  const row = (key: string, what: string, value: number, unit: string): Row => ({ key, what, value, unit });
  return [
    {
      key: "turn_longest",
      what: `longest turn of the event loop, ${TURN_LANES} at once: CPU time outside GC`,
      value: longest,
      unit: "ms",
      target: TURN_MAX_MS,
    },
    row("turn_longest_with_gc", "  with GC in it", Math.max(...turns.map((turn) => turn.with)) / 1e6, "ms"),
    // Of a pause only the wall clock is known: its thread may not have had a processor for all of that.
    row(
      "turn_longest_gc_free",
      "  of those without any GC",
      Math.max(0, ...turns.filter(({ gcNs }) => gcNs === 0).map((turn) => turn.with)) / 1e6,
      "ms",
    ),
    row(
      "turns_too_long",
      `  turns of more than ${TURN_MAX_MS} ms`,
      turns.filter(({ without }) => without > TURN_MAX_MS * 1e6).length,
      "",
    ),
    row("stall_longest", "  longest stall on the wall clock", longestStall(stalls, run), "ms"),
    row(
      "stall_longest_bare",
      "  the same of a bare loop",
      longestStall((await readRecord(bareLoop)).stalls, run),
      "ms",
    ),
  ];
}

function loopEnv(file: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    NODE_OPTIONS: `--require=${join(__dirname, "preload.js")}`,
    STOCKADE_BENCH_LOOP: file,
    STOCKADE_BENCH_HEAP: String(HEAP_BYTES),
  };
}

async function readRecord(file: string): Promise<LoopRecord> {
  const { collections, stalls } = JSON.parse(await readFile(file, "utf8")) as LoopRecord;
  return { collections: collections.sort((a, b) => a.beginNs - b.beginNs), stalls };
}

function longestStall(stalls: LoopRecord["stalls"], run: Span): number {
  return Math.max(
    0,
    ...stalls.filter(({ atNs }) => isWithin({ beginNs: atNs, endNs: atNs }, run)).map(({ ms }) => ms),
  );
}

function nowNs(): number {
  return Number(process.hrtime.bigint());
}
