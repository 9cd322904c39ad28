import type { Unenforced } from "./unenforced.js";

/** The limits of a task. Absent: not limited, or unchanged. */
export interface Limits {
  /** Hard limit of memory, in bytes. */
  readonly memoryBytes?: bigint;
  /** In bytes; at most memoryBytes. */
  readonly memoryReservationBytes?: bigint;
  /** Relative weight, 2 to 262144; 1 share = 1 MHz. */
  readonly cpuShares?: bigint;
  /** Hard cap; 1000 = one core. */
  readonly cpuMillis?: bigint;
  /** The kernel's list format: "0-2,4". */
  readonly cpusetCpus?: string;
  /** Relative weight, 10 to 1000. */
  readonly ioWeight?: bigint;
  /** Most processes and threads at one time. */
  readonly pidsMax?: bigint;
}

export type LimitName = keyof Limits;

/** What has come of limits that were asked for. */
export interface LimitAnswer {
  /** Those in force, read back from the kernel. */
  readonly effective: Limits;
  /** Those asked for that are not. */
  readonly unenforced: readonly Unenforced[];
}
