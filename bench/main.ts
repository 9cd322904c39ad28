/** Measures everything, prints a table, and writes it as JSON. `--quick`: coarser, in less than a minute. */
import { measureIdle } from "./idle.js";
import { measureLatency } from "./latency.js";
import { FULL, QUICK, RESULTS, type BenchOptions } from "./options.js";
import { measurePeers } from "./peers.js";
import { Resources } from "./resources.js";
import { tableOf, writeResults, type Row } from "./rows.js";
import { measureTurns } from "./turns.js";

type Measurement = (options: BenchOptions, resources: Resources) => Promise<Row[]>;

const MEASUREMENTS: readonly Measurement[] = [measureLatency, measurePeers, measureTurns, measureIdle];

async function main(quick: boolean): Promise<void> {
  if (process.geteuid?.() !== 0) throw new Error("limits and cgroups need root: run it as root");
  const rows: Row[] = [];
  for (const measure of MEASUREMENTS) {
    const measured = await withResources((resources) => measure(quick ? QUICK : FULL, resources));
    process.stdout.write(tableOf(measured));
    rows.push(...measured);
  }
  await writeResults(RESULTS, quick, rows);
}

/** What was made goes when the work ends, fails, or is interrupted. */
async function withResources<T>(work: (resources: Resources) => Promise<T>): Promise<T> {
  await using resources = new Resources();
  let interrupt: ((signal: NodeJS.Signals) => void) | undefined;
  const interrupted = new Promise<never>((_resolve, reject) => {
    interrupt = (signal) => reject(new Error(`interrupted by ${signal}`));
    process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  });
  try {
    return await Promise.race([work(resources), interrupted]);
  } finally {
    if (interrupt !== undefined) process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

main(process.argv.includes("--quick")).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
