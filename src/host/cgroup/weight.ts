/**
 * The scheduler's weights.
 *
 * CPU: v1's cpu.shares (2 to 262144, default 1024) as v2's cpu.weight (1 to 10000, default
 * 100), by the formula of crun 1.23 and runc 1.3.2 on: it meets both ends and both defaults.
 * Source: containers/crun#1721, opencontainers/cgroups#20.
 *
 * I/O: 10 to 1000 is BFQ's own scale (1 to 1000, default 100; Documentation/block/bfq-iosched.rst),
 * on v1 and v2, and lies within v2's io.weight (1 to 10000, default 100; admin-guide/cgroup-v2.rst,
 * "IO Interface Files"). So the number is written as it is: a weight is a ratio, and as it is both the
 * ratio of two tasks and the place of the default are kept, and what is read back is what was asked for.
 * (The linear stretch of runc and crun makes 1:100 into 1:10000, and the default into 910.)
 */
export const SHARES_MIN = 2n;
export const SHARES_MAX = 262144n;
/** v1's default. */
export const SHARES_DEFAULT = 1024n;
/** v2's default of cpu.weight, and of BFQ's and io.weight. */
export const WEIGHT_DEFAULT = 100n;

/** cpu.weight for a number of shares; shares out of range count as the nearest end. */
export function sharesToWeight(shares: bigint): bigint {
  if (shares <= SHARES_MIN) return 1n;
  if (shares >= SHARES_MAX) return 10000n;
  const l = Math.log2(Number(shares));
  // 1024 shares make the exponent 2 exactly; the last bit of the floating sum must not lift 100 to 101.
  const exponent = Number(((l * l + 125 * l) / 612 - 7 / 34).toFixed(12));
  return BigInt(Math.ceil(Number((10 ** exponent).toFixed(9))));
}

/** Shares nearest to a cpu.weight: the inverse, before its rounding up. */
export function weightToShares(weight: bigint): bigint {
  if (weight <= 1n) return SHARES_MIN;
  if (weight >= 10000n) return SHARES_MAX;
  // L² + 125 L − 612 (log10(weight) + 7/34) = 0
  const c = 612 * (Math.log10(Number(weight)) + 7 / 34);
  const l = (-125 + Math.sqrt(125 * 125 + 4 * c)) / 2;
  return BigInt(Math.round(2 ** l));
}

/**
 * What to report for a weight read back: the shares that were set, as long as the kernel
 * still holds their weight (many shares have the same), else the nearest.
 */
export function reportedShares(weight: bigint, set: bigint | undefined): bigint {
  return set !== undefined && sharesToWeight(set) === weight ? set : weightToShares(weight);
}

/** The default of an io.weight, io.bfq.weight or blkio.bfq.weight file: "100" or "default 100\n8:0 200". */
export function parseDefaultWeight(text: string): bigint | undefined {
  const match = /^(?:default )?(\d+)$/m.exec(text);
  return match?.[1] === undefined ? undefined : BigInt(match[1]);
}

/** The kernel's default is a limit only if it was asked for. */
export function unlessDefault<T>(value: T | undefined, standard: T, known: T | undefined): T | undefined {
  return value === standard && known === undefined ? undefined : value;
}
