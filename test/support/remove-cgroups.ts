import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

import { openCgroupRoot } from "../../src/host/cgroup/root";

/**
 * Ends all that runs below a cgroup root of a test's own, whatever has become of its daemon, and removes it; what is
 * not there is no error.
 * @param mounts of every hierarchy
 */
export async function removeCgroups(mounts: readonly string[], path: string): Promise<void> {
  const there = mounts.map((mount) => join(mount, path)).filter((directory) => existsSync(directory));
  if (there.length === 0) return;
  const root = await openCgroupRoot({ root: path });
  await root.sweep();
  for (const directory of there) {
    for (const name of readdirSync(directory)) {
      if (name.startsWith("state-")) rmdirSync(join(directory, name));
    }
  }
  await root.remove({ killInits: true, all: true });
}
