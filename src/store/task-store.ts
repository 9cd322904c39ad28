/**
 * The record directories: `<state>/tasks/<uuid>`, with the record, and the exit record and the logs that init writes
 * there. Root's own: no task can reach them.
 */
import { watch } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { AtMost } from "../tasks/concurrency/at-most.js";
import { inTurn } from "../tasks/concurrency/fair-turns.js";
import type {
  CollectedStore,
  InitExit,
  LoadedRecords,
  Log,
  RecordStore,
  TaskRecord,
} from "../tasks/ports.js";
import { makeCollectedDir, readCollectedFile, removeCollectedFile } from "./collected.js";
import type { OutputFiles, OutputStore } from "../tasks/ports-output.js";
import { nodeDisk, type Disk } from "./disk.js";
import { EXIT_NAME } from "./exit-record.js";
import { readExitFile } from "./exit-file.js";
import { GroupSync } from "./group-sync.js";
import { Lines } from "./lines.js";
import { loadRecords } from "./load-records.js";
import { openOutputFiles } from "./output-files.js";
import { writeRecordFile } from "./record-file.js";
import { encodeRecord } from "./record-format.js";
import { SetAside } from "./set-aside.js";

/** Readers of logs leave threads of Node's pool, of which there are four, to the records of tasks. */
const READS_AT_ONCE = 2;

/** A record that waits for the one before it to be written. */
interface Waiting {
  record: TaskRecord;
  written: Promise<void>;
}

/**
 * The records on disk. What a method rejects with is Node's error, with a `code`: of `write` ENOSPC, EROFS, EMFILE and
 * so on, and the record is then the one that it was.
 */
export class TaskStore implements RecordStore, CollectedStore, OutputStore {
  private readonly lines = new Lines();
  /** Of each task at most one: a newer one takes its place. */
  private readonly waiting = new Map<string, Waiting>();
  /** Those whose exit record has been reported as unreadable: it is read again and again where its task is waited for. */
  private readonly reported = new Set<string>();
  private readonly group: GroupSync;
  private nextCollected = 0;
  private readonly reads = new AtMost(READS_AT_ONCE);

  /** @param directory `<state>/tasks`, which is this daemon's alone; `<state>/set-aside` is made when there is need of it */
  constructor(
    private readonly directory: string,
    private readonly log: Log,
    private readonly disk: Disk = nodeDisk,
  ) {
    this.group = new GroupSync(disk, directory, log);
  }

  directoryOf(uuid: string): string {
    return join(this.directory, uuid);
  }

  async create(uuid: string): Promise<void> {
    await inTurn(mkdir(this.directoryOf(uuid), { mode: 0o700 }));
  }

  write(record: TaskRecord): Promise<void> {
    const { uuid } = record;
    const waiting = this.waiting.get(uuid);
    if (waiting !== undefined) {
      waiting.record = record;
      return waiting.written;
    }
    const mine: Waiting = { record, written: Promise.resolve() };
    this.waiting.set(uuid, mine);
    mine.written = this.lines.run(uuid, async () => {
      this.closeWaiting(uuid, mine);
      await writeRecordFile(this.disk, this.directoryOf(uuid), encodeRecord(mine.record));
      this.sync(uuid);
    });
    return mine.written;
  }

  sync(uuid: string): void {
    this.group.add(uuid);
  }

  async readExit(uuid: string): Promise<InitExit | undefined> {
    const file = await readExitFile(this.disk, this.directoryOf(uuid));
    switch (file.kind) {
      case "exit":
        return file.exit;
      case "absent":
      case "undecided":
        return undefined;
      case "unreadable":
        if (!this.reported.has(uuid)) this.log.error("cannot use an exit record", { uuid, why: file.why });
        this.reported.add(uuid);
        return undefined;
    }
  }

  watchExit(uuid: string, written: () => void): () => void {
    const watcher = watch(join(this.directoryOf(uuid), EXIT_NAME), { persistent: false }, written);
    watcher.on("error", written);
    return () => watcher.close();
  }

  async roomForCollected(uuid: string): Promise<string> {
    const directory = await makeCollectedDir(this.directoryOf(uuid));
    return join(directory, String(this.nextCollected++));
  }

  readCollected(path: string): AsyncIterable<Buffer> {
    return readCollectedFile(path);
  }

  removeCollected(path: string): Promise<void> {
    return removeCollectedFile(path);
  }

  openOutput(uuid: string): Promise<OutputFiles> {
    return openOutputFiles(this.disk, this.directoryOf(uuid), this.reads);
  }

  load(): Promise<LoadedRecords> {
    const { disk, directory, log } = this;
    const setAside = new SetAside(join(dirname(directory), "set-aside"));
    return loadRecords({ disk, directory, setAside, log, sync: (uuid) => this.sync(uuid) });
  }

  /** Those whose write is under way count as written. Rejects with what the disk says where it cannot sync. */
  async flush(): Promise<void> {
    await this.lines.done();
    await this.group.flush();
  }

  async remove(uuid: string): Promise<void> {
    // What is written from now on comes after the removal.
    this.waiting.delete(uuid);
    await this.lines.run(uuid, async () => {
      this.group.forget(uuid);
      this.reported.delete(uuid);
      await inTurn(rm(this.directoryOf(uuid), { recursive: true, force: true }));
    });
  }

  private closeWaiting(uuid: string, mine: Waiting): void {
    if (this.waiting.get(uuid) === mine) this.waiting.delete(uuid);
  }
}
