import { lstat, readlink, realpath } from "node:fs/promises";
import { join } from "node:path";

import type { HostPaths, TaskDirsFound } from "../tasks/ports.js";

/** The host's file system, as far as the daemon's own, trusted paths go. */
export class LinuxPaths implements HostPaths {
  constructor(private readonly allocRoot: string) {}

  /** Both directories are root's: no task could have made them links. */
  async findTaskDirs(allocId: string, taskName: string): Promise<TaskDirsFound> {
    const alloc = join(this.allocRoot, allocId);
    const [allocFound, taskFound] = await Promise.all([isThere(alloc), isThere(join(alloc, taskName))]);
    return { alloc: allocFound, task: taskFound };
  }

  realpath(path: string): Promise<string | undefined> {
    return realpath(path).catch(() => undefined);
  }

  readlink(path: string): Promise<string | undefined> {
    return readlink(path).catch(() => undefined);
  }
}

function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
