/** What the kernel says of a task's init. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Of a main process. */
export function initOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** How often a process has waited for something. */
export function waitsOf(pid: number): number {
  return Number(/^voluntary_ctxt_switches:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** How many timers a process holds; root alone may look. */
export function timersOf(pid: number): number {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  return links.filter((link) => link === "anon_inode:[timerfd]").length;
}
