/**
 * The record directories: `<state>/tasks/<uuid>`, with the exit record and the logs that
 * init writes there. Root's own: no task can reach them.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import type { RecordStore } from "../tasks/ports.js";

export class TaskStore implements RecordStore {
  constructor(private readonly directory: string) {}

  async create(uuid: string): Promise<string> {
    const path = join(this.directory, uuid);
    await mkdir(path, { mode: 0o700 });
    return path;
  }

  async remove(uuid: string): Promise<void> {
    await rm(join(this.directory, uuid), { recursive: true, force: true });
  }

  /** Removes what an earlier daemon left; answers how many records that were. */
  async sweep(): Promise<number> {
    const left = await readdir(this.directory);
    await Promise.all(left.map((uuid) => this.remove(uuid)));
    return left.length;
  }
}
