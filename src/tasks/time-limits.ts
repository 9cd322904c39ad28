import type { CgroupHost } from "./ports.js";
import type { TimeLimits } from "./request/time-limits.js";
import { NO_CGROUP, type Unenforced } from "./unenforced.js";

/**
 * Which of a task's time limits this host cannot have kept. CPU time is counted by cgroup alone: what a process adds to
 * its parent's, when it is reaped, any parent can lose.
 */
export function unenforcedTimes(
  { cpuTimeNs }: TimeLimits,
  cgroups: CgroupHost | undefined,
): readonly Unenforced[] {
  if (cpuTimeNs === undefined || cgroups?.countsCpuTime === true) return [];
  const reason = cgroups === undefined ? NO_CGROUP : "this host counts CPU time in no cgroup hierarchy";
  return [{ name: "cpu_time_limit", reason }];
}
