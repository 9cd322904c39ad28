/**
 * cpu_millis as CFS bandwidth: a quota of microseconds in each period.
 *
 * Source: scheduler/sched-bwc.rst: period 1 ms to 1 s, quota at least 1 ms.
 */

/** The kernel's default period. */
const PERIOD_US = 100_000n;
/** The longest: so that 1 to 9 thousandths of a core give a quota that the kernel takes. */
const LONGEST_PERIOD_US = 1_000_000n;
const SHORTEST_QUOTA_US = 1_000n;

export interface CpuQuota {
  readonly quotaUs: bigint;
  readonly periodUs: bigint;
}

export function millisToQuota(millis: bigint): CpuQuota {
  const quotaUs = (millis * PERIOD_US) / 1000n;
  if (quotaUs >= SHORTEST_QUOTA_US) return { quotaUs, periodUs: PERIOD_US };
  return { quotaUs: (millis * LONGEST_PERIOD_US) / 1000n, periodUs: LONGEST_PERIOD_US };
}

export function quotaToMillis({ quotaUs, periodUs }: CpuQuota): bigint {
  return (quotaUs * 1000n) / periodUs;
}
