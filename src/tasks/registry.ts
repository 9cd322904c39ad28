/**
 * The live handles: every task of this daemon by its id, from Configure until its record
 * expires, and the names in use.
 */
import { allocIdOf } from "./access/alloc-name.js";
import type { Caller } from "./access/identity.js";
import { isThereFor } from "./access/rules.js";
import { ByHolder } from "./by-holder.js";
import { TaskError } from "./errors.js";
import { UuidOrder, type InOrder } from "./listing/uuid-order.js";
import { parseTaskId } from "./task-id.js";
import type { Task } from "./task.js";

export interface Retention {
  /** How long a record is kept after the end, in milliseconds. */
  readonly endedTtlMs: number;
  /** How many ended records are kept; the oldest of whom has most go first. */
  readonly endedMaxRecords: number;
  /** How many tasks may be alive at one time. */
  readonly maxTasks: number;
}

export class Registry {
  private readonly tasks = new Map<string, Task>();
  private readonly order = new UuidOrder<Task>();
  private readonly names = new Set<string>();
  /** Ids of an earlier daemon's tasks that cannot be taken over. */
  private lost: ReadonlySet<string> = new Set();
  /** Ended tasks in the order of their end, with the timer of their expiry. */
  private readonly endedTasks = new Map<Task, NodeJS.Timeout>();
  /** The same by whose they are, so that nobody's tasks push out another's. */
  private readonly endedOf = new ByHolder<Task>();

  constructor(
    private readonly retention: Retention,
    /** Has the record removed; resolves to whether it is. */
    private readonly expire: (task: Task) => Promise<boolean>,
  ) {}

  /** Takes the name of a task for as long as it lives; gives a function that gives it back. */
  reserve(allocId: string, taskName: string): () => void {
    const name = `${allocId}/${taskName}`;
    if (this.names.has(name)) {
      throw new TaskError({
        reason: "TASK_EXISTS",
        field: "task_name",
        message: `task '${taskName}' of alloc '${allocIdOf(allocId)}' has not ended yet`,
      });
    }
    if (this.names.size >= this.retention.maxTasks) {
      throw new TaskError({
        reason: "TOO_MANY_TASKS",
        message: `${this.retention.maxTasks} tasks are alive, which is as many as this daemon may have`,
      });
    }
    return this.hold(name);
  }

  /** For a task of an earlier daemon, which had it. */
  reserveAgain(allocId: string, taskName: string): () => void {
    return this.hold(`${allocId}/${taskName}`);
  }

  private hold(name: string): () => void {
    this.names.add(name);
    return () => this.names.delete(name);
  }

  add(task: Task): void {
    this.tasks.set(task.id, task);
    this.order.add(task);
    void task.ended.then(() => this.keepEnded(task));
  }

  /** Throws INVALID_ARGUMENT for what is no id, NOT_FOUND for what is not ours or not there for the caller. */
  get(id: string, by: Caller): Task {
    parseTaskId(id);
    const task = this.tasks.get(id);
    // Whose it was is not known any more.
    if (this.lost.has(id) && isThereFor(by, undefined)) {
      throw new TaskError({
        reason: "NOT_REATTACHED",
        message: "the task's record could not be read; what was left of the task has been killed",
      });
    }
    if (task === undefined || !isThereFor(by, task.record.owner)) {
      throw new TaskError({ reason: "TASK_NOT_FOUND", message: "no task has this id" });
    }
    return task;
  }

  /** Of these nothing is left, and nothing known. */
  lose(ids: readonly string[]): void {
    this.lost = new Set(ids);
  }

  /** All tasks, in the order in which they were made. */
  get inOrder(): InOrder<Task> {
    return this.order;
  }

  /** Forgets a task that has ended, before its record expires; resolves to whether that is removed. Throws as `get`, and NOT_ENDED. */
  async delete(id: string, by: Caller): Promise<boolean> {
    const task = this.get(id, by);
    if (task.state !== "ended") {
      throw new TaskError({ reason: "NOT_ENDED", message: "the task has not ended" });
    }
    return this.drop(task);
  }

  live(): Task[] {
    return [...this.tasks.values()].filter((task) => task.state !== "ended");
  }

  /** Forgets every record; for the daemon's stop. */
  clear(): void {
    for (const timer of this.endedTasks.values()) clearTimeout(timer);
    this.endedTasks.clear();
    this.endedOf.clear();
    this.tasks.clear();
    this.order.clear();
  }

  private keepEnded(task: Task): void {
    // Whoever has seen its end may have deleted it before it comes here.
    if (this.tasks.get(task.id) !== task) return;
    const timer = setTimeout(() => void this.drop(task), this.ttlOf(task));
    timer.unref();
    this.endedTasks.set(task, timer);
    this.endedOf.add(ownerOf(task), task);
    while (this.endedTasks.size > this.retention.endedMaxRecords) {
      const oldest = this.endedOf.oldestOfMost;
      if (oldest === undefined) break;
      void this.drop(oldest);
    }
  }

  /** One of an earlier daemon may have ended long ago; a clock that has been set back keeps none for longer. */
  private ttlOf(task: Task): number {
    const { endedTtlMs } = this.retention;
    const endedMs = task.finalExit === undefined ? Date.now() : Number(task.finalExit.exitedNs / 1_000_000n);
    return Math.min(endedTtlMs, Math.max(0, endedMs + endedTtlMs - Date.now()));
  }

  private drop(task: Task): Promise<boolean> {
    clearTimeout(this.endedTasks.get(task));
    this.endedTasks.delete(task);
    this.endedOf.delete(ownerOf(task), task);
    this.tasks.delete(task.id);
    this.order.delete(task);
    return this.expire(task);
  }
}

function ownerOf({ record }: Task): string {
  return record.owner?.name ?? "";
}
