/** Reads what earlier daemons have left in the directory of all record directories, and clears what is no record. */
import type { Dirent } from "node:fs";
import { opendir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { turns } from "../tasks/concurrency/fair-turns.js";
import { forEachAtMost } from "../tasks/concurrency/for-each-at-most.js";
import type { LoadedRecords, Log, TaskRecord, UnreadableRecord } from "../tasks/ports.js";
import { COLLECTED_NAME, removeCollectedDir } from "./collected.js";
import type { Disk } from "./disk.js";
import { EXIT_NAME } from "./exit-record.js";
import { readSmallFile, RECORD_NAME, removeTemporary, TEMPORARY_NAME } from "./record-file.js";
import { decodeRecord, UUID } from "./record-format.js";
import type { SetAside } from "./set-aside.js";

/** How many are read at one time: what is heard of them in one turn of the event loop is bounded by it. */
const AT_ONCE = 16;

/** How many names of the directory are read at one time. */
const NAMES_AT_ONCE = 256;

/** The kernel writes back what is older by itself, after some 35 s. Source: dirty_expire_centisecs, sysctl/vm.rst. */
const UNSYNCED_MS = 60_000;

export interface LoadParts {
  readonly disk: Disk;
  readonly directory: string;
  readonly setAside: SetAside;
  readonly log: Log;
  /** Gets those whose daemon may have died before it synced them. */
  readonly sync: (uuid: string) => void;
}

/** Rejects where the daemon is short of descriptors or memory: what could not be read then may well be whole. */
export async function loadRecords(parts: LoadParts): Promise<LoadedRecords> {
  const load = new Load(parts);
  await forEachAtMost(AT_ONCE, await entriesOf(parts.directory), (entry) => load.look(entry));
  return load.finish();
}

async function entriesOf(directory: string): Promise<readonly Dirent[]> {
  const entries: Dirent[] = [];
  for await (const entry of await opendir(directory, { bufferSize: NAMES_AT_ONCE })) entries.push(entry);
  return entries;
}

class Load {
  private readonly records: TaskRecord[] = [];
  private readonly newer: string[] = [];
  private readonly unreadable: UnreadableRecord[] = [];
  private unanswered = 0;

  constructor(private readonly parts: LoadParts) {}

  async look(entry: Dirent): Promise<void> {
    const { name } = entry;
    if (!entry.isDirectory() || !UUID.test(name)) {
      await this.takeAside(name, "it is no directory with the name of a task");
      return;
    }
    const directory = join(this.parts.directory, name);
    const file = await readSmallFile(this.parts.disk, join(directory, RECORD_NAME));
    switch (file.kind) {
      case "absent":
        await this.drop(name, directory);
        return;
      case "unreadable":
        await this.takeRecordAside(name, file.why);
        return;
      case "content":
        await turns.enter();
        await this.decode(name, directory, file);
    }
  }

  finish(): LoadedRecords {
    if (this.unanswered > 0) {
      this.parts.log.info("removed record directories without a record: nobody was told of their tasks", {
        count: this.unanswered,
      });
    }
    return { records: this.records, newer: this.newer, unreadable: this.unreadable };
  }

  private async decode(
    uuid: string,
    directory: string,
    { bytes, changedMs }: { readonly bytes: Buffer; readonly changedMs: number },
  ): Promise<void> {
    const { disk, log, sync } = this.parts;
    const decoded = decodeRecord(bytes, uuid);
    switch (decoded.kind) {
      case "newer":
        log.error("left the record of a newer daemon where it is", { uuid, version: decoded.version });
        this.newer.push(uuid);
        return;
      case "unreadable":
        await this.takeRecordAside(uuid, decoded.why);
        return;
      case "record":
        this.records.push(decoded.record);
        if (changedMs > Date.now() - UNSYNCED_MS) sync(uuid);
        await this.tryTo("remove what is left of a record", { uuid }, () => removeTemporary(disk, directory));
        await this.tryTo("remove what was collected", { uuid }, () => removeCollectedDir(disk, directory));
    }
  }

  /**
   * A daemon has died between the directory and the first record in it, or while it removed them. What holds anything
   * else has come from elsewhere, and is not ours to remove.
   */
  private async drop(uuid: string, directory: string): Promise<void> {
    if (!(await holdsOurs(directory).catch(() => false))) {
      await this.takeAside(uuid, "it has no record, and holds what is not a task's");
      return;
    }
    await this.tryTo("remove a record directory without a record", { uuid }, async () => {
      await rm(directory, { recursive: true, force: true });
      this.unanswered++;
    });
  }

  private async takeRecordAside(uuid: string, why: string): Promise<void> {
    this.unreadable.push({ uuid, directory: await this.takeAside(uuid, why) });
  }

  /** Resolves to where it is then. */
  private async takeAside(name: string, why: string): Promise<string> {
    const { directory, setAside, log } = this.parts;
    let path = join(directory, name);
    await this.tryTo("set aside what is no record", { name, why }, async () => {
      const as = await setAside.take(path, name);
      path = setAside.pathOf(as);
      log.error("set aside what is no record", { name, why, as });
    });
    return path;
  }

  /** What cannot be done stays as it is, for the next daemon: the other records are loaded all the same. */
  private async tryTo(
    what: string,
    fields: Readonly<Record<string, string>>,
    act: () => Promise<void>,
  ): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.parts.log.error(`cannot ${what}`, { ...fields, error });
    }
  }
}

/** What a record directory can hold beside the record, by its path in it. */
const OURS: ReadonlyMap<string, "file" | "directory"> = new Map([
  [TEMPORARY_NAME, "file"],
  [EXIT_NAME, "file"],
  ["log", "directory"],
  ["log/stdout", "file"],
  ["log/stderr", "file"],
  [COLLECTED_NAME, "directory"],
]);

const COLLECTED_FILE = new RegExp(`^${COLLECTED_NAME}/\\d+$`);

async function holdsOurs(directory: string, prefix = ""): Promise<boolean> {
  for (const entry of await readdir(join(directory, prefix), { withFileTypes: true })) {
    const path = `${prefix}${entry.name}`;
    const kind = COLLECTED_FILE.test(path) ? "file" : OURS.get(path);
    if (kind === undefined || !(kind === "file" ? entry.isFile() : entry.isDirectory())) return false;
    if (kind === "directory" && !(await holdsOurs(directory, `${path}/`))) return false;
  }
  return true;
}
