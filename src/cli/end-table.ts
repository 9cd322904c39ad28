import type { TaskEnd } from "../client/index.js";
import { OUTPUT_TRUNCATED } from "./exit-status.js";

const MIB = 1024 ** 2;

/** How a task ended, as rows of a table. */
export function endRows({
  reason,
  exitCode,
  signal,
  startedAt,
  exitedAt,
  durationMs,
  usage,
  outputTruncated,
}: TaskEnd): string[][] {
  const { cpuUserMs, cpuSystemMs, memoryPeakBytes, pidsPeak } = usage;
  return [
    ["reason", reason.toLowerCase()],
    ["exit code", exitCode?.toString() ?? ""],
    ["signal", signal ?? ""],
    ["started", startedAt?.toISOString() ?? ""],
    ["ended", exitedAt?.toISOString() ?? ""],
    ["duration", inSeconds(durationMs)],
    ["cpu, user", inSeconds(cpuUserMs)],
    ["cpu, system", inSeconds(cpuSystemMs)],
    ["memory peak", memoryPeakBytes === undefined ? "" : `${(memoryPeakBytes / MIB).toFixed(1)} MiB`],
    ["pids peak", pidsPeak?.toString() ?? ""],
    ["output", outputTruncated ? OUTPUT_TRUNCATED : ""],
  ].filter(([, is]) => is !== "");
}

function inSeconds(ms: number | undefined): string {
  return ms === undefined ? "" : `${(ms / 1000).toFixed(3)} s`;
}
