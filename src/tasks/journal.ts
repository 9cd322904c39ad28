import { setTimeout as sleep } from "node:timers/promises";

import { Deferred } from "./concurrency/deferred.js";
import type { Overrun } from "./exit.js";
import type { InitExit, RecordStore, Sandbox, TaskRecord } from "./ports.js";

/** How often init's record is looked at for a start that nobody has told of, in milliseconds. */
const LOOK_MS = 5;

/** How long that may take: init ends if it has not been told to start, and execs if it has. In milliseconds. */
const START_MS = 5_000;

/** How often what could not be read is tried again, in milliseconds. */
const SHORTAGE_MS = 100;

/**
 * Whether exec has succeeded, and when. Not known where init's record, which alone says so, cannot be read, or is not
 * from its end.
 */
export type Start =
  { readonly kind: "executed"; readonly atNs: bigint } | { readonly kind: "never" | "unknown" };

/** How often a record that could not be written is tried again, in milliseconds. */
const WRITE_AGAIN_MS = 500;

/** What may become known of a task. */
export type News = Partial<
  Pick<
    TaskRecord,
    "id" | "request" | "cgroup" | "processes" | "limits" | "cause" | "killSent" | "graceEndsNs" | "exit"
  >
>;

/** A task's record as it grows: what is known is on disk before anybody is told, or anything done for it. */
export class Journal {
  private catchingUp = false;

  constructor(
    private record: TaskRecord,
    private readonly records: Pick<RecordStore, "write" | "readExit" | "sync" | "watchExit">,
  ) {}

  get known(): TaskRecord {
    return this.record;
  }

  /** Known at once; on disk when it resolves. */
  note(news: News): Promise<void> {
    this.record = { ...this.record, ...news };
    return this.records.write(this.record);
  }

  /**
   * After a `note` that has failed: has what is known written as soon as that can be, so that the next daemon tells of
   * the task what this one does. Ends when it is, or when the record has expired.
   */
  async catchUp(): Promise<void> {
    if (this.catchingUp) return;
    this.catchingUp = true;
    while (this.catchingUp) {
      await sleep(WRITE_AGAIN_MS, undefined, { ref: false });
      this.catchingUp = await this.records.write(this.record).then(
        () => false,
        (error: unknown) => (error as { readonly code?: unknown }).code !== "ENOENT",
      );
    }
  }

  /** Init has written something, which is to survive a loss of power. */
  syncExit(): void {
    this.records.sync(this.record.uuid);
  }

  /** What init has written of the end. A daemon that is short of descriptors or memory looks again: that says nothing of it. */
  async readExit(): Promise<InitExit | undefined> {
    for (;;) {
      try {
        return await this.records.readExit(this.record.uuid);
      } catch {
        await sleep(SHORTAGE_MS);
      }
    }
  }

  /** Resolves when init has written that it kills the task for a time limit; undefined: it keeps none, or has ended. */
  async overrun(exited: Promise<unknown>): Promise<Overrun | undefined> {
    // Nothing is watched for the many that keep none.
    if ((await this.readExit())?.limited === false) return undefined;
    let written = new Deferred<undefined>();
    const init = { hasEnded: false };
    const end = this.records.watchExit(this.record.uuid, () => written.resolve(undefined));
    void exited.then(() => {
      init.hasEnded = true;
      written.resolve(undefined);
    });
    try {
      for (;;) {
        const exit = await this.readExit();
        if (exit?.overrun !== undefined) return exit.overrun;
        if (exit?.limited === false || init.hasEnded) return undefined;
        await written.promise;
        written = new Deferred();
      }
    } finally {
      end();
    }
  }

  /** Whether exec has succeeded, by what init has written; "never": it will not, either. */
  async startOf(sandbox: Pick<Sandbox, "exited" | "killInit">): Promise<Start> {
    const init = { hasEnded: false };
    void sandbox.exited.then(() => (init.hasEnded = true));
    const deadline = performance.now() + START_MS;
    for (;;) {
      // Before the record is read, which is the last word then.
      const last = init.hasEnded;
      const exit = await this.readExit();
      if (exit?.started === true) return { kind: "executed", atNs: exit.startedNs };
      if (last) return { kind: exit === undefined ? "unknown" : "never" };
      if (performance.now() > deadline) sandbox.killInit();
      await sleep(LOOK_MS);
    }
  }
}
