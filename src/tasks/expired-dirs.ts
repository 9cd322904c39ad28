/**
 * The directories that tasks have left in their alloc directories, where they are to go with the records: each with
 * the last record of a task of its name, and the alloc directory with the last of its tasks.
 */
import { persist } from "./concurrency/persist.js";

export interface TaskName {
  readonly allocId: string;
  readonly taskName: string;
}

export interface ExpiredDirsParts {
  /** Removes the task's directory, or the alloc's. Whoever comes to use it from then on waits for that. */
  readonly remove: (scope: "task" | "alloc", name: TaskName) => Promise<void>;
  readonly report: (error: unknown) => void;
  readonly stopping: AbortSignal;
}

export class ExpiredDirs {
  /** By alloc and name, how many tasks there are, from their Configure to the expiry of their record. */
  private readonly held = new Map<string, Map<string, number>>();
  /** By alloc, the names of those whose directory is to go once nobody holds it; with none, the alloc's alone is. */
  private readonly owed = new Map<string, Set<string>>();

  constructor(private readonly parts: ExpiredDirsParts) {}

  /** To be called before anything is looked for in the directories. Ends with `release` or `expire`. */
  hold({ allocId, taskName }: TaskName): void {
    const names = this.held.get(allocId) ?? new Map<string, number>();
    this.held.set(allocId, names.set(taskName, (names.get(taskName) ?? 0) + 1));
  }

  /** The task has not come to be. Resolves when what is to go has gone; to false: the daemon has stopped before. */
  release(name: TaskName): Promise<boolean> {
    const { allocId, taskName } = name;
    const names = this.held.get(allocId);
    const others = (names?.get(taskName) ?? 1) - 1;
    if (others > 0) names?.set(taskName, others);
    else names?.delete(taskName);
    if (names?.size === 0) this.held.delete(allocId);
    return persist(() => this.settle(name), this.parts.report, this.parts.stopping);
  }

  /** The task's record has expired. Resolves as `release` does. */
  expire(name: TaskName): Promise<boolean> {
    const { allocId, taskName } = name;
    this.owed.set(allocId, (this.owed.get(allocId) ?? new Set<string>()).add(taskName));
    return this.release(name);
  }

  /** Looks each time who holds what: between two tries another may have come. */
  private async settle(name: TaskName): Promise<void> {
    const { allocId, taskName } = name;
    const owed = this.owed.get(allocId);
    const names = this.held.get(allocId);
    if (owed === undefined) return;
    if (names === undefined) this.owed.delete(allocId);
    else if (names.has(taskName) || !owed.delete(taskName)) return;
    try {
      await this.parts.remove(names === undefined ? "alloc" : "task", name);
    } catch (error) {
      const again = this.owed.get(allocId) ?? new Set();
      this.owed.set(allocId, new Set([...again, ...owed, taskName]));
      throw error;
    }
  }
}
