/** Measures everything, prints a table, and writes it as JSON. `--quick`: coarser, in less than a minute. */
import { measureIdle } from "./idle.js";
import { measureLatency } from "./latency.js";
import { FULL, QUICK, RESULTS, type BenchOptions } from "./options.js";
import { Resources } from "./resources.js";
import { tableOf, writeResults, type Row } from "./rows.js";
import { measureTurns } from "./turns.js";

type Measurement = (options: BenchOptions, resources: Resources) => Promise<Row[]>;

const MEASUREMENTS: readonly Measurement[] = [measureLatency, measureTurns, measureIdle];

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
  const resources = new Resources();
  const interruption = defer();
  process.on("SIGINT", interruption.reject).on("SIGTERM", interruption.reject);
  const working = work(resources);
  try {
    return await Promise.race([working, interruption.promise]);
  } finally {
    await resources[Symbol.asyncDispose]();
    // Of work that was interrupted, whatever is still under way fails now.
    await working.catch(() => undefined);
    process.off("SIGINT", interruption.reject).off("SIGTERM", interruption.reject);
  }
}

function defer(): { readonly promise: Promise<never>; readonly reject: (signal: NodeJS.Signals) => void } {
  let refuse: (error: Error) => void = () => undefined;
  const promise = new Promise<never>((_resolve, reject) => {
    refuse = reject;
  });
  return { promise, reject: (signal) => refuse(new Error(`interrupted by ${signal}`)) };
}

main(process.argv.includes("--quick")).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
