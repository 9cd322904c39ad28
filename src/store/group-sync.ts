/**
 * Makes records survive a loss of power, off the path of the tasks: those that have been written in half a second are
 * synced together. Disks take about as long for a few files as for one.
 */
import { constants } from "node:fs";
import { join } from "node:path";

import { forEachAtMost } from "../tasks/concurrency/for-each-at-most.js";
import { Mutex } from "../tasks/concurrency/mutex.js";
import type { Log } from "../tasks/ports.js";
import { codeOf, type Disk } from "./disk.js";
import { EXIT_NAME } from "./exit-record.js";
import { RECORD_NAME } from "./record-file.js";

/** From the first write to its group's begin, in milliseconds: the disk has the other half of the second. */
const DELAY_MS = 500;

/** How many tasks are synced at one time. The threads that do it are the daemon's for all its files. */
const AT_ONCE = 4;

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;

export class GroupSync {
  /** Those with something that may not be on the disk yet. */
  private unsynced = new Set<string>();
  /** Those that the group under way has taken of them. */
  private group = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private readonly groups = new Mutex();
  private failing = false;

  /** @param directory that of all record directories */
  constructor(
    private readonly disk: Disk,
    private readonly directory: string,
    private readonly log: Log,
  ) {}

  /** Something new is in place in the task's record directory. It is synced within a second. */
  add(uuid: string): void {
    this.unsynced.add(uuid);
    this.arm();
  }

  /** The record is being removed: what becomes of it is nobody's concern. */
  forget(uuid: string): void {
    this.unsynced.delete(uuid);
    this.group.delete(uuid);
  }

  /** Resolves when all that has been added survives a loss of power; rejects with the first failure. */
  flush(): Promise<void> {
    return this.groups.run(() => this.syncGroup());
  }

  private arm(): void {
    this.timer ??= setTimeout(() => {
      // Reported, and tried again.
      this.flush().catch(() => undefined);
    }, DELAY_MS).unref();
  }

  private async syncGroup(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.unsynced.size === 0) return;
    const group = this.unsynced;
    this.group = group;
    this.unsynced = new Set();
    const failed = new Map<string, unknown>();
    await forEachAtMost(AT_ONCE, [...group], async (uuid) => {
      if (!group.has(uuid)) return;
      await this.syncTask(join(this.directory, uuid)).catch((error: unknown) => failed.set(uuid, error));
    });
    // Last: its entries of the tasks are what makes the rest be found again.
    await this.sync(this.directory, O_DIRECTORY).catch((error: unknown) => {
      for (const uuid of group) failed.set(uuid, error);
    });
    for (const uuid of failed.keys()) if (!group.has(uuid)) failed.delete(uuid);
    this.group = new Set();
    this.settle(failed);
  }

  /** What has failed is in the next group too. It is reported once for any number of groups that fail in a row. */
  private settle(failed: ReadonlyMap<string, unknown>): void {
    const [error] = failed.values();
    const wasFailing = this.failing;
    this.failing = failed.size > 0;
    if (!this.failing) {
      if (wasFailing) this.log.info("records are synced again");
      return;
    }
    for (const uuid of failed.keys()) this.add(uuid);
    if (!wasFailing) {
      this.log.error("cannot sync records: a loss of power would lose them", { error, tasks: failed.size });
    }
    throw error;
  }

  private async syncTask(directory: string): Promise<void> {
    await this.sync(join(directory, RECORD_NAME), O_NOFOLLOW);
    await this.sync(join(directory, EXIT_NAME), O_NOFOLLOW);
    await this.sync(directory, O_DIRECTORY | O_NOFOLLOW);
  }

  /** What is not there needs none: it has been removed, or not made yet. */
  private async sync(path: string, flags: number): Promise<void> {
    let fd: number;
    try {
      fd = await this.disk.open(path, O_RDONLY | O_NONBLOCK | flags);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return;
      throw error;
    }
    try {
      await this.disk.fsync(fd);
    } finally {
      this.disk.close(fd);
    }
  }
}
