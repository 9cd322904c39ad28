/** As google.protobuf.Duration. */
export interface DurationInput {
  readonly seconds: bigint;
  readonly nanos: number;
}

const NANOS_PER_SECOND = 1_000_000_000;
const NANOS_PER_MS = 1_000_000n;

/** In nanoseconds; undefined: negative, or malformed. */
export function durationNs({ seconds, nanos }: DurationInput): bigint | undefined {
  const wellFormed = Number.isInteger(nanos) && nanos >= 0 && nanos < NANOS_PER_SECOND;
  return wellFormed && seconds >= 0n ? seconds * BigInt(NANOS_PER_SECOND) + BigInt(nanos) : undefined;
}

/** In milliseconds, rounded up: only zero is zero. */
export function wholeMs(ns: bigint): number {
  return Number((ns + NANOS_PER_MS - 1n) / NANOS_PER_MS);
}
