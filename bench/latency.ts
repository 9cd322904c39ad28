/** One task after the other: the floor, the daemon's cycle, a bare call and the peers; then more at once. */
import { endedTask, runCycle, runOnce, type Cycle } from "./cycle.js";
import { Floor } from "./floor.js";
import { atOnce, percentile, repeat } from "./measure.js";
import { CYCLE_CALLS, CYCLE_FLOORS, RUN_SAVED_CALLS, type BenchOptions } from "./options.js";
import { Peers } from "./peers.js";
import { type Resources } from "./resources.js";
import type { Row } from "./rows.js";

const PARTS = ["configure", "start", "wait"] as const;

export async function measureLatency(options: BenchOptions, resources: Resources): Promise<Row[]> {
  const floor = await Floor.prepare(resources);
  const peers = await Peers.prepare(resources);
  const { client } = await resources.daemon();
  const floors: number[] = [];
  const cycles: Cycle[] = [];
  const runs: number[] = [];
  const calls: number[] = [];
  await repeat(options.warmup, async () => {
    await runCycle(client);
    await runOnce(client);
  });
  const ended = await endedTask(client);
  await repeat(options.rounds, async () => {
    floors.push(...(await floor.run(options.floorsPerRound)));
    await repeat(options.cyclesPerRound, async () => {
      cycles.push(await runCycle(client));
      runs.push(await runOnce(client));
    });
    await repeat(options.callsPerRound, async () => {
      const begin = performance.now();
      await client.wait(ended);
      calls.push(performance.now() - begin);
    });
    await peers.run(options.peersPerRound);
  });
  const rates: Row[] = [];
  for (const lanes of options.atOnce) {
    const ms = await atOnce(lanes, options.tasksAtOnce, () => runCycle(client));
    const value = options.tasksAtOnce / (ms / 1000);
    rates.push({ key: `tasks_per_second_${lanes}`, what: `tasks, ${lanes} at once`, value, unit: "per s" });
  }
  const cycle = percentile(
    cycles.map(({ whole }) => whole),
    50,
  );
  return [...latencyRows({ floors, cycles, runs, calls }), ...peers.rows(cycle), ...rates];
}

/** Milliseconds. */
interface Samples {
  readonly floors: readonly number[];
  readonly cycles: readonly Cycle[];
  readonly runs: readonly number[];
  readonly calls: readonly number[];
}

function latencyRows({ floors, cycles, runs, calls }: Samples): Row[] {
  const wholes = cycles.map(({ whole }) => whole);
  const ms = (key: string, what: string, value: number): Row => ({ key, what, value, unit: "ms" });
  const ratio = (percent: number): number =>
    percentile(wholes, percent) /
    (CYCLE_FLOORS * percentile(floors, percent) + CYCLE_CALLS * percentile(calls, percent));
  return [
    ms("floor_p50", "the same sandbox by one C process (floor), p50", percentile(floors, 50)),
    ms("floor_p99", "  p99", percentile(floors, 99)),
    ms("call_p50", "bare call (Wait of an ended task), p50", percentile(calls, 50)),
    ms("call_p99", "  p99", percentile(calls, 99)),
    ms("cycle_p50", "cycle (Configure, Start, Wait), p50", percentile(wholes, 50)),
    ms("cycle_p99", "  p99", percentile(wholes, 99)),
    ...PARTS.map((part) => {
      const samples = cycles.map((one) => one[part]);
      return ms(`${part}_p50`, `  ${part}, p50`, percentile(samples, 50));
    }),
    {
      key: "cycle_ratio",
      what: `cycle / (${CYCLE_FLOORS} floors + ${CYCLE_CALLS} calls), p50`,
      value: ratio(50),
      unit: "",
      target: 1,
    },
    { key: "cycle_ratio_p10", what: "  the same of the least disturbed (p10)", value: ratio(10), unit: "" },
    ms("run_p50", "Run, p50", percentile(runs, 50)),
    ms("run_p99", "  p99", percentile(runs, 99)),
    {
      key: "run_ratio",
      what: `Run / (cycle - ${RUN_SAVED_CALLS} calls), p50`,
      value: percentile(runs, 50) / (percentile(wholes, 50) - RUN_SAVED_CALLS * percentile(calls, 50)),
      unit: "",
      target: 1,
    },
  ];
}
