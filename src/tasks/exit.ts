/** What a task used. Absent: this host cannot tell. Times in microseconds. */
export interface Usage {
  readonly cpuUserUs?: bigint;
  readonly cpuSystemUs?: bigint;
  readonly memoryPeakBytes?: bigint;
  readonly pidsPeak?: bigint;
  readonly ioReadBytes?: bigint;
  readonly ioWriteBytes?: bigint;
}

/** Why the daemon, or init, ended a task; on record before anything is killed. */
export type EndCause = "force_stop" | "shutdown_grace" | "timeout" | "cpu_time" | "never_started";

/** Those for which init ends a task. */
export type Overrun = Extract<EndCause, "timeout" | "cpu_time">;

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
  /** More may have been written to stdout or stderr, at its end, than the log has been given. */
  readonly outputTruncated: boolean;
}
