/** A daemon for root that finds no cgroups, and so names its tasks by pid, as a plain user's does. */
import { join } from "node:path";
import { chmodSync, writeFileSync } from "node:fs";

import { PROGRAM } from "./daemon";
import type { Scratch } from "./task-files";

/** Runs in a mount namespace of its own, with no cgroup mounted. */
const SCRIPT = `#!/bin/sh
exec unshare -m sh -c 'umount -l /sys/fs/cgroup && exec "$0" "$@"' ${PROGRAM} "$@"
`;

/** Puts the program into the directory; answers its path. */
export function programWithoutCgroups(scratch: Scratch): string {
  const program = join(scratch.path, "stockaded-without-cgroups");
  writeFileSync(program, SCRIPT);
  chmodSync(program, 0o755);
  return program;
}
