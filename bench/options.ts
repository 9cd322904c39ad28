/** How much is measured, and what is hoped for. */
import { resolve } from "node:path";

export interface BenchOptions {
  /** Floor, cycle, bare call and peers are measured in turn, so many times: a busy moment hits all. */
  readonly rounds: number;
  readonly floorsPerRound: number;
  readonly cyclesPerRound: number;
  readonly callsPerRound: number;
  readonly peersPerRound: number;
  /** Cycles before anything is measured: a daemon that has run for a while has been compiled, which takes a thousand. */
  readonly warmup: number;
  /** How many tasks at once, and how many in all for each of them. */
  readonly atOnce: readonly number[];
  readonly tasksAtOnce: number;
  /** Tasks of the run that the event loop's turns are measured in. */
  readonly turnTasks: number;
  readonly idleTasks: number;
  /** Tasks that run when their daemon is killed. */
  readonly recoveredTasks: number;
  /** How much is streamed, and how often. */
  readonly logBytes: number;
  readonly logRounds: number;
  /** How many follow one task at once; together they are sent `logBytes`. */
  readonly logFollowers: number;
  /** Writes whose followers are to hear of them soon. */
  readonly firstBytes: number;
  /** Each attack is measured so often, with so many calls of its victim's under it and as many without. */
  readonly hostileRounds: number;
  readonly hostileCalls: number;
  /** How long an attack goes on before its effect is measured, and its rest after it has ended, in milliseconds. */
  readonly hostileLeadMs: number;
}

export const FULL: BenchOptions = {
  rounds: 10,
  floorsPerRound: 100,
  cyclesPerRound: 60,
  callsPerRound: 300,
  peersPerRound: 20,
  warmup: 1_500,
  atOnce: [1, 8, 32],
  tasksAtOnce: 1000,
  turnTasks: 2000,
  idleTasks: 500,
  recoveredTasks: 1000,
  logBytes: 200_000_000,
  logRounds: 5,
  logFollowers: 200,
  firstBytes: 100,
  hostileRounds: 2,
  hostileCalls: 400,
  hostileLeadMs: 300,
};

export const QUICK: BenchOptions = {
  rounds: 3,
  floorsPerRound: 30,
  cyclesPerRound: 30,
  callsPerRound: 100,
  peersPerRound: 10,
  warmup: 50,
  atOnce: [1, 8, 32],
  tasksAtOnce: 100,
  turnTasks: 200,
  idleTasks: 50,
  recoveredTasks: 100,
  logBytes: 50_000_000,
  logRounds: 3,
  logFollowers: 200,
  firstBytes: 20,
  hostileRounds: 1,
  hostileCalls: 60,
  hostileLeadMs: 100,
};

/** The command of every task but the idle ones. */
export const COMMAND = "/bin/true";

/** The heap of the daemon whose turns are measured, in bytes. */
export const HEAP_BYTES = 300 * 2 ** 20;

/** Tasks at once in that run. */
export const TURN_LANES = 32;

/** No turn of the event loop may use more, in milliseconds of its thread's CPU time outside garbage collection. */
export const TURN_MAX_MS = 5;

/** An idle task may cost so much beyond its own, in PSS of ours and in what is charged to the inits' cgroup, in kB. */
export const IDLE_MAX_KB = 300;

/** A start may take so much longer for the tasks that it finds, in seconds. */
export const RECOVERY_MAX_S = 1;

/** What Logs sends in one message, in bytes. */
export const CHUNK_BYTES = 65_536;

/** How many times as fast as the log's the bare stream may be, and how late a follower may hear of a write, in milliseconds. */
export const STREAM_MAX_TIMES = 1.43;
export const FIRST_BYTE_MAX_MS = 2;

/** How many times as long another's calls may take while somebody attacks, at the 99th percentile. */
export const HOSTILE_MAX_TIMES = 2;

/** A cycle may take so many floors and so many bare calls. */
export const CYCLE_FLOORS = 2.5;
export const CYCLE_CALLS = 3;

/** Run is one call where a cycle is three: of the two it does without, nine tenths are to be saved. */
export const RUN_SAVED_CALLS = 1.8;

const DIST = resolve(__dirname, "../..");
export const DAEMON = resolve(DIST, "bin/stockaded");
export const BENCH_DIST = resolve(DIST, "bench");
export const RESULTS = resolve(DIST, "bench.json");
