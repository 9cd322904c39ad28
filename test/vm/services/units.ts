/** The two units, as systemd and the kernel show them. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export const DAEMON = "stockaded.service";
export const TASKS = "stockade-tasks.service";
export const TASKS_CGROUP = `/sys/fs/cgroup/system.slice/${TASKS}`;

/** How long anything may take here, in milliseconds: an emulated machine on a busy host is slow. */
const PATIENCE_MS = 180_000;

export function systemctl(...args: readonly string[]): string {
  return execFileSync("systemctl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

export function property(unit: string, name: string): string {
  return systemctl("show", "--value", "--property", name, unit).trim();
}

export function isActive(unit: string): boolean {
  return property(unit, "ActiveState") === "active";
}

export function mainPid(unit: string): number {
  return Number(property(unit, "MainPID"));
}

/** What the daemon has logged in this boot. */
export function logged(): string {
  return execFileSync("journalctl", ["--unit", DAEMON, "--output", "cat", "--boot"], { encoding: "utf8" });
}

export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await sleep(100);
  }
}

/** The start time of a process, which tells it from another of the same pid; undefined: there is none. */
export function startTicks(pid: number): string | undefined {
  if (!existsSync(`/proc/${pid}/stat`)) return undefined;
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .at(22 - 3);
}

export function pidsIn(cgroup: string): number[] {
  return readFileSync(`${TASKS_CGROUP}/${cgroup}/cgroup.procs`, "utf8").trim().split(/\s+/).map(Number);
}
