/** What the record that init holds says of a task, whether or not there is a daemon to read it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { EXIT_OFFSETS } from "../../src/store/exit-record";
import { readExitFlags } from "../../src/tasks/exit-flags";
import type { TestDaemon } from "./daemon";

export function exitFlags(daemon: TestDaemon, id: string): ReturnType<typeof readExitFlags> {
  return readExitFlags(readFileSync(join(daemon.recordDir(id), "exit")).readUInt32LE(EXIT_OFFSETS.flags));
}
