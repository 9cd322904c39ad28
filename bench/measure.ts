/** Samples and what is said of them. */

/** A value that so many percent of the samples do not exceed. */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("there are no samples");
  return value;
}

/** Runs `work` `count` times, one after the other. */
export async function repeat(count: number, work: (index: number) => Promise<void>): Promise<void> {
  for (let index = 0; index < count; index++) await work(index);
}

/** Runs `work` `count` times, `lanes` of them at once; resolves with the milliseconds that all took. */
export async function atOnce(lanes: number, count: number, work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  let left = count;
  const lane = async (): Promise<void> => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return performance.now() - start;
}

/** What a program of ours has printed: nanoseconds, one a line. In milliseconds. */
export function parseLatencies(text: string): number[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Number(line) / 1e6);
}
