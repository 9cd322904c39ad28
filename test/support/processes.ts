/** Whether a process is there, by the pid that the host knows it by. */
import { existsSync } from "node:fs";

import { textOf } from "./losses";

/** It runs, or can: one that has ended, and waits for somebody to reap it, does not. */
export function isAlive(pid: number): boolean {
  const status = textOf(`/proc/${pid}/status`);
  return status !== undefined && !/^State:\s+[ZX]/m.test(status);
}

/** It has been reaped, too: the pid is free. */
export function isGone(pid: number): boolean {
  return !existsSync(`/proc/${pid}`);
}
