import { readFile } from "node:fs/promises";

/** Of `starttime` in /proc/<pid>/stat, counted from the field after the command's name, which is the third. Source: proc_pid_stat(5). */
const STARTTIME_INDEX = 22 - 3;

/** When a process started, in clock ticks since boot; undefined: there is no such process. */
export async function startTicks(pid: number): Promise<bigint | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The name, in parentheses, may have any character.
  const field = stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[STARTTIME_INDEX];
  return field === undefined ? undefined : BigInt(field);
}
