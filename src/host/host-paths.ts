import { readdir, readlink, realpath } from "node:fs/promises";
import { join } from "node:path";

import type { HostPaths } from "../tasks/ports.js";

/** The host's file system, as far as the daemon's own, trusted paths go. */
export class LinuxPaths implements HostPaths {
  constructor(
    private readonly allocRoot: string,
    private readonly stateDir: string,
  ) {}

  /** The directory is root's: no task could have made it a link. */
  allocEntries(allocId: string): Promise<readonly string[] | undefined> {
    return readdir(join(this.allocRoot, allocId)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    });
  }

  /** Of what lies below the root of all, none is a link. */
  async taskDirectory(allocId: string, taskName: string): Promise<string> {
    return join(await realpath(this.allocRoot), allocId, taskName);
  }

  ownDirectories(): Promise<readonly string[]> {
    return Promise.all([realpath(this.allocRoot), realpath(this.stateDir)]);
  }

  realpath(path: string): Promise<string | undefined> {
    return realpath(path).catch(() => undefined);
  }

  readlink(path: string): Promise<string | undefined> {
    return readlink(path).catch(() => undefined);
  }
}
