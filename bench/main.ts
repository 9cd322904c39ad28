/**
 * Measures everything, prints a table, and writes it as JSON. `--quick`: coarser, in about a minute. `--only <subject>`:
 * nothing else.
 */
import { parseArgs } from "node:util";

import { measureHostile } from "./hostile.js";
import { measureIdle } from "./idle.js";
import { measureLatency } from "./latency.js";
import { measureLogs } from "./logs.js";
import { FULL, QUICK, RESULTS, type BenchOptions } from "./options.js";
import { measureRecovery } from "./recovery.js";
import type { Resources } from "./resources.js";
import { tableOf, writeResults, type Row } from "./rows.js";
import { measureTurns } from "./turns.js";
import { withResources } from "./with-resources.js";

type Measurement = (options: BenchOptions, resources: Resources) => Promise<Row[]>;

const MEASUREMENTS: Readonly<Record<string, Measurement>> = {
  latency: measureLatency,
  turns: measureTurns,
  logs: measureLogs,
  hostile: measureHostile,
  idle: measureIdle,
  recovery: measureRecovery,
};

async function main(args: readonly string[]): Promise<void> {
  const { quick, only } = parseArgs({
    args: [...args],
    options: { quick: { type: "boolean", default: false }, only: { type: "string" } },
  }).values;
  const wanted = Object.entries(MEASUREMENTS).filter(([name]) => only === undefined || name === only);
  if (wanted.length === 0) {
    throw new Error(`there is no '${only}', only ${Object.keys(MEASUREMENTS).join(", ")}`);
  }
  if (process.geteuid?.() !== 0) throw new Error("limits and cgroups need root: run it as root");
  const rows: Row[] = [];
  for (const [, measure] of wanted) {
    const measured = await withResources((resources) => measure(quick ? QUICK : FULL, resources));
    process.stdout.write(tableOf(measured));
    rows.push(...measured);
  }
  await writeResults(RESULTS, quick, rows);
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
