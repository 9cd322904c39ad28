/** Measures everything, prints a table, and writes it as JSON. `--quick`: coarser, in less than a minute. */
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

const MEASUREMENTS: readonly Measurement[] = [
  measureLatency,
  measureTurns,
  measureLogs,
  measureIdle,
  measureRecovery,
];

async function main(args: readonly string[]): Promise<void> {
  const quick = args.includes("--quick");
  const unknown = args.find((arg) => arg !== "--quick");
  if (unknown !== undefined) throw new Error(`there is no '${unknown}', only --quick`);
  if (process.geteuid?.() !== 0) throw new Error("limits and cgroups need root: run it as root");
  const rows: Row[] = [];
  for (const measure of MEASUREMENTS) {
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
