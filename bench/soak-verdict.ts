/** Whether a metric has grown with the tasks that were run, by a rule that is the same for all. */
import { percentile } from "./measure.js";
import type { Sample } from "./soak-sample.js";

/** Of how many samples nothing can be said. */
const SAMPLES_MIN = 6;

const MIB = 2 ** 20;

/**
 * What a metric may be larger by in the end, beside 2 percent: what comes and goes by itself. All else is counted
 * while no task is alive, and must be what it was.
 */
const SLACK: Readonly<Record<string, number>> = {
  // Compiled code and its profiles go on growing a while; a hundred bytes for each task would be more.
  daemon_heap_bytes: MIB / 2,
  // The allocator's and the collector's own slack.
  daemon_rss_bytes: 12 * MIB,
  // A file or two of the records is being synced.
  daemon_descriptors: 4,
  launcher_rss_bytes: MIB / 4,
  // A record or two is being removed: six entries each.
  state_entries: 24,
  state_bytes: 8192,
  alloc_entries: 4,
  // The kernel frees them when it gets to it.
  dying_cgroups: 500,
};

const SHARE = 0.02;

export interface Point {
  readonly tasks: number;
  readonly sample: Sample;
}

export interface Trend {
  readonly first: number;
  readonly last: number;
  readonly slope_per_10000_tasks: number;
  /** From the median of the first third of the samples to that of the last. */
  readonly grown: number;
  readonly allowed: number;
  readonly flat: boolean;
}

export const RULE =
  "flat: the median of a metric in the last third of the samples is no more than that in the first third, 2 % and the slack of the metric (allowed)";

export function trendsOf(points: readonly Point[]): Readonly<Record<string, Trend>> {
  if (points.length < SAMPLES_MIN)
    throw new Error(`${points.length} samples are too few: ask for more minutes`);
  const names = Object.keys(points[0]?.sample ?? {});
  return Object.fromEntries(names.map((name) => [name, trendOf(name, points)]));
}

function trendOf(name: string, points: readonly Point[]): Trend {
  const values = points.map(({ sample }) => sample[name] ?? Number.NaN);
  const third = Math.floor(values.length / 3);
  const before = percentile(values.slice(0, third), 50);
  const grown = percentile(values.slice(-third), 50) - before;
  const allowed = before * SHARE + (SLACK[name] ?? 0);
  return {
    first: values[0] ?? Number.NaN,
    last: values.at(-1) ?? Number.NaN,
    slope_per_10000_tasks: round(
      slope(
        points.map(({ tasks }) => tasks),
        values,
      ) * 10_000,
    ),
    grown,
    allowed: round(allowed),
    flat: grown <= allowed,
  };
}

/** Of the line that fits best. */
function slope(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(xs), mean(ys)];
  const sum = (of: (index: number) => number): number =>
    xs.reduce((total, _value, index) => total + of(index), 0);
  const spread = sum((index) => ((xs[index] ?? 0) - x) ** 2);
  return spread === 0 ? 0 : sum((index) => ((xs[index] ?? 0) - x) * ((ys[index] ?? 0) - y)) / spread;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
