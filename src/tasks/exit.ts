/** What a task used. Absent: this host cannot tell. Times in microseconds. */
export interface Usage {
  readonly cpuUserUs?: bigint;
  readonly cpuSystemUs?: bigint;
  readonly memoryPeakBytes?: bigint;
  readonly pidsPeak?: bigint;
  readonly ioReadBytes?: bigint;
  readonly ioWriteBytes?: bigint;
}

/** How the main process ended. "unknown": nobody has seen it end. */
export type ExitStatus =
  | { readonly kind: "exitCode"; readonly code: number }
  | { readonly kind: "signal"; readonly signal: number }
  | { readonly kind: "unknown" };

export type ExitReasonName =
  | "EXITED"
  | "SIGNALED"
  | "OOM_KILLED"
  | "FORCE_STOPPED"
  | "TIMED_OUT"
  | "CPU_TIME_EXCEEDED"
  | "NEVER_STARTED"
  | "LOST";

/** How a task ended. Times: nanoseconds since the epoch. */
export interface Exit {
  readonly status: ExitStatus;
  readonly reason: ExitReasonName;
  /** The kernel killed some process of the task for want of memory. */
  readonly oomKilled: boolean;
  readonly coreDumped: boolean;
  /** When exec succeeded; undefined: it never did. */
  readonly startedNs: bigint | undefined;
  /** When the main process ended, or the task was given up. */
  readonly exitedNs: bigint;
  readonly usage: Usage;
  readonly stdoutDroppedBytes: bigint;
  readonly stderrDroppedBytes: bigint;
}
