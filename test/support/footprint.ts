import { readdirSync } from "node:fs";
import { join } from "node:path";

import type { TestDaemon } from "./daemon";
import { allocs } from "./task-files";

/** What a daemon has on disk and in the kernel; a request that is refused changes none of it. */
export function footprint(daemon: TestDaemon): string[] {
  const directories = ["alloc", ...allocs(daemon).map((name) => join("alloc", name)), "state", "state/tasks"];
  const files = directories.flatMap((name) =>
    readdirSync(join(daemon.daemon.directory, name)).map((entry) => join(name, entry)),
  );
  return [...files, ...daemon.leftovers()].sort();
}
