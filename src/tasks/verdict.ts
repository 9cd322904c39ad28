/** The one place that names how a task ended. */
import type { EndCause, Exit, ExitReasonName, ExitStatus, Usage } from "./exit.js";
import type { InitExit } from "./ports.js";

const SIGKILL = 9;

export interface Ending {
  /** The first cause that was given; undefined: the task was let be. */
  readonly cause: EndCause | undefined;
  /** What init said; undefined: it died without a word. */
  readonly exit: InitExit | undefined;
  /** How often the kernel killed a process of the task for want of memory. */
  readonly oomKills: number;
  /** When exec succeeded, in nanoseconds since the epoch; undefined: it never did. */
  readonly startedNs: bigint | undefined;
  readonly usage: Usage;
  /** For an end that nobody has seen. */
  readonly nowNs: bigint;
  /** SIGKILL was sent as the signal of a Shutdown, so that dying of it is no sign of the kernel's. */
  readonly killSent?: boolean;
}

const CAUSE_REASONS = {
  force_stop: "FORCE_STOPPED",
  shutdown_grace: "FORCE_STOPPED",
  timeout: "TIMED_OUT",
  cpu_time: "CPU_TIME_EXCEEDED",
  never_started: "NEVER_STARTED",
} as const satisfies Record<EndCause, ExitReasonName>;

/**
 * The ending's status is always the main process's own, as the kernel gave it; the reason is:
 *
 * 1. NEVER_STARTED: the command was not executed. There is no status, whatever the waiting
 *    process died of.
 * 2. EXITED, or SIGNALED by another signal than SIGKILL: no kill of ours did that, and a cause that was
 *    recorded while the main process ended by itself has ended nothing.
 * 3. The cause on record, the daemon's or else init's, if there is one: it died of SIGKILL, or init had to be killed and nobody knows.
 * 4. LOST: nobody has seen the end.
 * 5. OOM_KILLED: the main process died of a SIGKILL that was not ours, and the kernel has counted
 *    an OOM kill in the task's cgroup.
 * 6. SIGNALED, by a SIGKILL that is none of the above.
 *
 * The end of the output may be missing where init says so, and where a command was executed whose end init has not
 * recorded.
 */
export function nameEnding(ending: Ending): Exit {
  const { exit, oomKills, startedNs, usage, nowNs } = ending;
  const cause = ending.cause ?? exit?.overrun;
  const never = cause === "never_started" || exit?.started === false;
  const seen = never || exit?.ended !== true ? undefined : exit;
  const { status, coreDumped } = decodeWaitStatus(seen?.waitStatus);
  const started = never ? undefined : startedNs;
  return {
    status,
    reason: never ? "NEVER_STARTED" : reasonOf({ ...ending, cause }, status),
    oomKilled: oomKills > 0,
    coreDumped,
    startedNs: started,
    exitedNs: latest(seen?.exitedNs ?? nowNs, started),
    usage,
    stdoutDroppedBytes: exit?.stdoutDroppedBytes ?? 0n,
    stderrDroppedBytes: exit?.stderrDroppedBytes ?? 0n,
    outputTruncated: !never && (seen?.outputTruncated ?? true),
  };
}

/** A clock that has been set back meanwhile has no task end before it started. */
function latest(ns: bigint, other = 0n): bigint {
  return ns > other ? ns : other;
}

function reasonOf({ cause, oomKills, killSent }: Ending, status: ExitStatus): ExitReasonName {
  if (status.kind === "exitCode") return "EXITED";
  if (status.kind === "signal" && status.signal !== SIGKILL) return "SIGNALED";
  if (cause !== undefined) return CAUSE_REASONS[cause];
  if (status.kind === "unknown") return "LOST";
  return killSent !== true && oomKills > 0 ? "OOM_KILLED" : "SIGNALED";
}

interface DecodedStatus {
  readonly status: ExitStatus;
  readonly coreDumped: boolean;
}

/**
 * The status word of wait(2): the signal in bits 0 to 6, the core flag in bit 7, the exit code in
 * bits 8 to 15. 0x7f in the low bits is a stop, which is no end.
 */
export function decodeWaitStatus(word: number | undefined): DecodedStatus {
  if (word === undefined) return { status: { kind: "unknown" }, coreDumped: false };
  const signal = word & 0x7f;
  switch (signal) {
    case 0:
      return { status: { kind: "exitCode", code: (word >> 8) & 0xff }, coreDumped: false };
    case 0x7f:
      return { status: { kind: "unknown" }, coreDumped: false };
    default:
      return { status: { kind: "signal", signal }, coreDumped: (word & 0x80) !== 0 };
  }
}
