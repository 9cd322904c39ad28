/** Time limits as requests give them. Init keeps them. */
import { invalidField } from "../errors.js";
import { durationNs, type DurationInput } from "./duration.js";

/** 365 days: ours. The helper takes ten times as much, with which no time overflows. */
const LIMIT_MAX_NS = 365n * 24n * 3600n * 1_000_000_000n;

/** What a task may use of time, in nanoseconds; undefined: as much as it likes. */
export interface TimeLimits {
  /** From exec to the end of the main process. */
  readonly timeoutNs: bigint | undefined;
  /** Of all its processes, user and system. */
  readonly cpuTimeNs: bigint | undefined;
}

export const NO_TIME_LIMITS: TimeLimits = Object.freeze({ timeoutNs: undefined, cpuTimeNs: undefined });

/** In nanoseconds; absent: undefined. Throws INVALID_ARGUMENT (the field) for zero, and for more than 365 days. */
export function parseTimeLimit(field: string, duration: DurationInput | undefined): bigint | undefined {
  if (duration === undefined) return undefined;
  const ns = durationNs(duration);
  if (ns === undefined || ns === 0n || ns > LIMIT_MAX_NS) {
    throw invalidField(field, `${field} must be more than 0 s, and at most 365 days`);
  }
  return ns;
}
