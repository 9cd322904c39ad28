/** How a task ended, in the types that programs use. */
import { constants } from "node:os";

import { ExitReason, type Exit, type Usage } from "../gen/executor/v1/executor.js";
import type { Timestamp } from "../gen/google/protobuf/timestamp.js";
import { brand } from "./brand.js";
import { toMs } from "./durations.js";
import type { TaskFile } from "./task-files.js";

/** Why a task ended: the names of ExitReason. */
export type TaskEndReason =
  | "EXITED"
  | "SIGNALED"
  | "OOM_KILLED"
  | "FORCE_STOPPED"
  | "TIMED_OUT"
  | "CPU_TIME_EXCEEDED"
  | "NEVER_STARTED"
  | "LOST";

/** What a task used; undefined: its host cannot tell. */
export interface TaskUsage {
  readonly cpuUserMs: number | undefined;
  readonly cpuSystemMs: number | undefined;
  readonly memoryPeakBytes: number | undefined;
  readonly pidsPeak: number | undefined;
  readonly ioReadBytes: number | undefined;
  readonly ioWriteBytes: number | undefined;
}

/** How a task ended. */
export interface TaskEnd {
  readonly reason: TaskEndReason;
  /** Of the main process; undefined: it has none. */
  readonly exitCode: number | undefined;
  /** That the main process died of: "SIGKILL". */
  readonly signal: string | undefined;
  readonly signalNumber: number | undefined;
  /** Anything but an exit with code 0. */
  readonly failed: boolean;
  /** It ran longer than `timeout`. */
  readonly timedOut: boolean;
  /** The kernel killed some process of it for want of memory. */
  readonly oomKilled: boolean;
  readonly coreDumped: boolean;
  /**
   * The end of its output may be missing, with no gap for it: somebody outside the task still held its stdout or stderr
   * when it ended, or nobody has seen the end.
   */
  readonly outputTruncated: boolean;
  /** When its command was executed; undefined: never, or nobody knows. */
  readonly startedAt: Date | undefined;
  readonly exitedAt: Date | undefined;
  /** Between the two. */
  readonly durationMs: number | undefined;
  readonly usage: TaskUsage;
}

/** How a task ended, and what it wrote. */
export interface TaskResult extends TaskEnd {
  readonly id: string;
  /** It was ended because the caller's `signal` fired. */
  readonly canceled: boolean;
  /** What was asked for by `collect`, in that order. */
  readonly files: readonly TaskFile[];
  /** The beginning of its output, as text, up to `maxBuffer` bytes of each stream. */
  readonly stdout: string;
  readonly stderr: string;
  /** Whether some of the output is missing there. */
  readonly stdoutTruncated: boolean;
  readonly stderrTruncated: boolean;
}

/** A task that has not exited with code 0: what its result says. */
export class TaskFailedError extends Error {
  static {
    brand(this, "TaskFailedError");
  }

  constructor(
    readonly result: TaskResult,
    cause?: unknown,
  ) {
    super(
      result.canceled ? "the task was ended as its caller has asked for" : describeEnd(result),
      cause === undefined ? undefined : { cause },
    );
    this.name = "TaskFailedError";
  }
}

/** The exit of a message in the types that programs use. */
export function toTaskEnd(exit: Exit): TaskEnd {
  const { status, startedAt, exitedAt } = exit;
  const exitCode = status?.$case === "exitCode" ? status.value : undefined;
  const signalNumber = status?.$case === "signal" ? status.value : undefined;
  const reason = toReason(exit.reason);
  const failed = reason !== "EXITED" || exitCode !== 0;
  return {
    reason,
    exitCode,
    signal: signalNumber === undefined ? undefined : signalName(signalNumber),
    signalNumber,
    failed,
    timedOut: reason === "TIMED_OUT",
    oomKilled: exit.oomKilled,
    coreDumped: exit.coreDumped,
    outputTruncated: exit.outputTruncated,
    startedAt: toDate(startedAt),
    exitedAt: toDate(exitedAt),
    durationMs: startedAt === undefined || exitedAt === undefined ? undefined : between(startedAt, exitedAt),
    usage: toUsage(exit.usage),
  };
}

/** In words, for people. */
export function describeEnd({ reason, exitCode, signal }: TaskEnd): string {
  switch (reason) {
    case "EXITED":
      return `the task exited with code ${exitCode ?? "unknown"}`;
    case "SIGNALED":
      return `the task died of ${signal ?? "a signal"}`;
    case "OOM_KILLED":
      return "the task was killed for want of memory";
    case "FORCE_STOPPED":
      return "the task was stopped by force";
    case "TIMED_OUT":
      return "the task ran longer than its timeout, and was killed";
    case "CPU_TIME_EXCEEDED":
      return "the task used more CPU time than its limit, and was killed";
    case "NEVER_STARTED":
      return "the task was never started";
    case "LOST":
      return "the task is gone, and nobody knows how it ended";
  }
}

/** The name of ExitReason without its prefix; of a newer daemon's, LOST. */
function toReason(reason: ExitReason): TaskEndReason {
  switch (reason) {
    case ExitReason.EXIT_REASON_EXITED:
      return "EXITED";
    case ExitReason.EXIT_REASON_SIGNALED:
      return "SIGNALED";
    case ExitReason.EXIT_REASON_OOM_KILLED:
      return "OOM_KILLED";
    case ExitReason.EXIT_REASON_FORCE_STOPPED:
      return "FORCE_STOPPED";
    case ExitReason.EXIT_REASON_TIMED_OUT:
      return "TIMED_OUT";
    case ExitReason.EXIT_REASON_CPU_TIME_EXCEEDED:
      return "CPU_TIME_EXCEEDED";
    case ExitReason.EXIT_REASON_NEVER_STARTED:
      return "NEVER_STARTED";
    case ExitReason.EXIT_REASON_LOST:
    case ExitReason.EXIT_REASON_UNSPECIFIED:
    case ExitReason.UNRECOGNIZED:
    default:
      return "LOST";
  }
}

/** "SIGKILL"; one without a name is "SIG" and its number. */
export function signalName(number: number): string {
  const [name] = Object.entries(constants.signals).find(([, value]) => value === number) ?? [];
  return name ?? `SIG${number}`;
}

function toDate(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : new Date(toMs(timestamp));
}

/** In milliseconds. */
function between(from: Timestamp, to: Timestamp): number {
  return toMs({ seconds: to.seconds - from.seconds, nanos: to.nanos - from.nanos });
}

function toUsage(usage: Usage | undefined): TaskUsage {
  return {
    cpuUserMs: usage?.cpuUser === undefined ? undefined : toMs(usage.cpuUser),
    cpuSystemMs: usage?.cpuSystem === undefined ? undefined : toMs(usage.cpuSystem),
    memoryPeakBytes: toNumber(usage?.memoryPeakBytes),
    pidsPeak: toNumber(usage?.pidsPeak),
    ioReadBytes: toNumber(usage?.ioReadBytes),
    ioWriteBytes: toNumber(usage?.ioWriteBytes),
  };
}

function toNumber(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}
