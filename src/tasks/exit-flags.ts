/** What the flags of init's words of an end say: EXIT_* of native/exit-record.h. */
import type { InitExit } from "./ports.js";

export const EXIT_FLAGS = {
  ENDED: 1,
  STARTED: 2,
  LET_GO: 4,
  TIMED_OUT: 8,
  CPU_TIME: 16,
  LIMITED: 32,
  OUTPUT_TRUNCATED: 64,
} as const;

export function readExitFlags(
  flags: number,
): Pick<InitExit, "ended" | "started" | "limited" | "overrun" | "outputTruncated"> {
  return {
    ended: (flags & EXIT_FLAGS.ENDED) !== 0,
    started: (flags & EXIT_FLAGS.STARTED) !== 0,
    limited: (flags & EXIT_FLAGS.LIMITED) !== 0,
    overrun: overrunOf(flags),
    outputTruncated: (flags & EXIT_FLAGS.OUTPUT_TRUNCATED) !== 0,
  };
}

/** The command was let go, and whether it has been executed is not written. */
export function isUndecided(flags: number): boolean {
  return (flags & (EXIT_FLAGS.ENDED | EXIT_FLAGS.STARTED | EXIT_FLAGS.LET_GO)) === EXIT_FLAGS.LET_GO;
}

function overrunOf(flags: number): InitExit["overrun"] {
  if ((flags & EXIT_FLAGS.TIMED_OUT) !== 0) return "timeout";
  return (flags & EXIT_FLAGS.CPU_TIME) !== 0 ? "cpu_time" : undefined;
}
