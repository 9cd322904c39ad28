/**
 * The alloc directories, as far as a Configure makes them: what it has made goes again if it fails, and an alloc
 * directory that nothing has come of goes with the last of those who were at it.
 */
import type { FoundDirectories, HostPaths, RemoveScope, SandboxHost } from "./ports.js";
import { SHARED_DIR_NAME, type TaskSpec } from "./request/spec.js";

type Named = Pick<TaskSpec, "allocId" | "taskName" | "chrootMethod">;

/** A Configure's part in its alloc directory. Ends with `keep` or `takeAway`. */
export interface AllocPart {
  /** To be called before anything is made: looks what is there. */
  look(): Promise<FoundDirectories>;
  /** The task has come to be. */
  keep(): void;
  /** Resolves when what was made is gone; to be called once nothing is being made any more. Repeating it is fine. */
  takeAway(): Promise<void>;
}

export class AllocDirs {
  /** How many Configures are at an alloc directory. */
  private readonly parts = new Map<string, number>();
  /** Those that were not there before the Configures that are at them, and that no task has come to be in since. */
  private readonly unused = new Set<string>();
  private readonly removing = new Map<string, Promise<void>>();

  constructor(
    private readonly sandboxes: Pick<SandboxHost, "remove">,
    private readonly paths: Pick<HostPaths, "allocEntries">,
  ) {}

  /** Resolves when nothing of the alloc directory is being removed. */
  async settled(allocId: string): Promise<void> {
    // Another may have begun to be removed meanwhile.
    while (this.removing.has(allocId)) await this.removing.get(allocId);
  }

  /** Resolves when nothing of any is being removed. */
  async allSettled(): Promise<void> {
    await Promise.all(this.removing.values());
  }

  /** To be called in the turn in which its alloc directory is `settled`. */
  join(named: Named): AllocPart {
    return this.part(named, undefined);
  }

  /** The part of a Configure of an earlier daemon. */
  joinAgain(named: Named & { readonly found: FoundDirectories }): AllocPart {
    return this.part(named, named.found);
  }

  /** Takes away what tasks that are forgotten have left; of the alloc directory, nothing that is none of them. */
  clear(scope: "task" | "alloc", { allocId, taskName }: Pick<Named, "allocId" | "taskName">): Promise<void> {
    return this.inTurn(allocId, async () => {
      const whole = scope === "alloc" && !(await this.holdsOthers(allocId, taskName));
      await this.sandboxes.remove(whole ? "alloc" : "task", allocId, taskName);
    });
  }

  private part({ allocId, taskName, chrootMethod }: Named, before: FoundDirectories | undefined): AllocPart {
    this.parts.set(allocId, (this.parts.get(allocId) ?? 0) + 1);
    let made: RemoveScope | undefined;
    let isAtIt = true;
    const leave = (): void => {
      if (isAtIt) this.leave(allocId);
      isAtIt = false;
    };
    const find = (found: FoundDirectories): FoundDirectories => {
      if (!found.alloc) this.unused.add(allocId);
      // A task directory of an earlier run holds no trees: they go at the end of each.
      if (!found.task) made = "task";
      else if (chrootMethod === "link") made = "trees";
      return found;
    };
    if (before !== undefined) find(before);
    return {
      look: async () => {
        const entries = await this.paths.allocEntries(allocId);
        return find({ alloc: entries !== undefined, task: entries?.includes(taskName) === true });
      },
      keep: () => {
        leave();
        this.unused.delete(allocId);
      },
      takeAway: () => {
        leave();
        return this.inTurn(allocId, () => this.remove(allocId, taskName, made));
      },
    };
  }

  private leave(allocId: string): void {
    const others = (this.parts.get(allocId) ?? 1) - 1;
    if (others > 0) this.parts.set(allocId, others);
    else this.parts.delete(allocId);
  }

  /** Of several that go from one alloc directory, the last must see what the others have left. */
  private inTurn(allocId: string, remove: () => Promise<void>): Promise<void> {
    const removed = (this.removing.get(allocId) ?? Promise.resolve()).then(remove);
    const settled = removed.then(
      () => undefined,
      () => undefined,
    );
    this.removing.set(allocId, settled);
    void settled.then(() => {
      if (this.removing.get(allocId) === settled) this.removing.delete(allocId);
    });
    return removed;
  }

  private async remove(allocId: string, taskName: string, made: RemoveScope | undefined): Promise<void> {
    const scope = (await this.isNobodys(allocId, taskName)) ? "alloc" : made;
    if (scope === undefined) return;
    await this.sandboxes.remove(scope, allocId, taskName);
    if (scope === "alloc") this.unused.delete(allocId);
  }

  private async isNobodys(allocId: string, taskName: string): Promise<boolean> {
    if (!this.unused.has(allocId)) return false;
    return !(await this.holdsOthers(allocId, taskName)) && !this.parts.has(allocId);
  }

  private async holdsOthers(allocId: string, taskName: string): Promise<boolean> {
    const entries = (await this.paths.allocEntries(allocId)) ?? [];
    return entries.some((entry) => entry !== taskName && entry !== SHARED_DIR_NAME);
  }
}
