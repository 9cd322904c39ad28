/**
 * The live handles: every task of this daemon by its id, from Configure until its record
 * expires, and the names in use.
 */
import { TaskError } from "./errors.js";
import { parseTaskId } from "./task-id.js";
import type { Task } from "./task.js";

export interface Retention {
  /** How long a record is kept after the end, in milliseconds. */
  readonly endedTtlMs: number;
  /** How many ended records are kept; the oldest go first. */
  readonly endedMaxRecords: number;
  /** How many tasks may be alive at one time. */
  readonly maxTasks: number;
}

export class Registry {
  private readonly tasks = new Map<string, Task>();
  private readonly names = new Set<string>();
  /** Ended tasks in the order of their end, with the timer of their expiry. */
  private readonly endedTasks = new Map<string, NodeJS.Timeout>();

  constructor(
    private readonly retention: Retention,
    private readonly expire: (task: Task) => void,
  ) {}

  /** Takes the name of a task for as long as it lives; gives a function that gives it back. */
  reserve(allocId: string, taskName: string): () => void {
    const name = `${allocId}/${taskName}`;
    if (this.names.has(name)) {
      throw new TaskError({
        reason: "TASK_EXISTS",
        message: `task '${taskName}' of alloc '${allocId}' has not ended yet`,
      });
    }
    if (this.names.size >= this.retention.maxTasks) {
      throw new TaskError({
        reason: "TOO_MANY_TASKS",
        message: `${this.retention.maxTasks} tasks are alive, which is as many as this daemon may have`,
      });
    }
    this.names.add(name);
    return () => this.names.delete(name);
  }

  /** How many live tasks use the alloc directory. */
  tasksOf(allocId: string): number {
    return [...this.names].filter((name) => name.startsWith(`${allocId}/`)).length;
  }

  add(task: Task): void {
    this.tasks.set(task.id, task);
    void task.ended.then(() => this.keepEnded(task));
  }

  /** Throws INVALID_ARGUMENT for what is no id, NOT_FOUND for what is not ours. */
  get(id: string): Task {
    parseTaskId(id);
    const task = this.tasks.get(id);
    if (task === undefined) {
      throw new TaskError({ reason: "TASK_NOT_FOUND", message: "no task has this id" });
    }
    return task;
  }

  live(): Task[] {
    return [...this.tasks.values()].filter((task) => task.state !== "ended");
  }

  /** Forgets every record; for the daemon's stop. */
  clear(): void {
    for (const timer of this.endedTasks.values()) clearTimeout(timer);
    this.endedTasks.clear();
    this.tasks.clear();
  }

  private keepEnded(task: Task): void {
    const timer = setTimeout(() => this.drop(task.id), this.retention.endedTtlMs);
    timer.unref();
    this.endedTasks.set(task.id, timer);
    for (const oldest of this.endedTasks.keys()) {
      if (this.endedTasks.size <= this.retention.endedMaxRecords) break;
      this.drop(oldest);
    }
  }

  private drop(id: string): void {
    clearTimeout(this.endedTasks.get(id));
    this.endedTasks.delete(id);
    const task = this.tasks.get(id);
    this.tasks.delete(id);
    if (task !== undefined) this.expire(task);
  }
}
