/** What the kernel says of a task's init. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

import { descendants, until } from "./daemon";

/** Of a main process. */
export function initOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** The process that stands by for an init, once it is called so. */
export async function guardOf(init: number): Promise<number> {
  let guard: number | undefined;
  const isGuard = (pid: number): boolean => readFileSync(`/proc/${pid}/comm`, "utf8") === "stockade-guard\n";
  await until(() => (guard = descendants(init).find(isGuard)) !== undefined);
  return guard ?? 0;
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
