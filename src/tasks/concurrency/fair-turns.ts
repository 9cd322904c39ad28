/**
 * Keeps the turns of the event loop short: work of one kind that comes in a burst is done over several, so that
 * what else is due, the launcher's words first of all, is heard in between.
 */
export class FairTurns {
  private endsAt: number | undefined;
  /** In their order. */
  private readonly waiting = new Set<() => void>();

  /** @param budgetMs how much of a turn may have gone by, from its first work of this kind on, when another begins in it, in milliseconds */
  constructor(private readonly budgetMs: number) {}

  /** Resolves in a turn that has time left; undefined: this is one. */
  enter(): Promise<void> | undefined {
    if (this.waiting.size === 0 && this.hasTime()) return undefined;
    return new Promise((resolve) => {
      this.waiting.add(resolve);
      if (this.waiting.size === 1) void this.admitAll();
    });
  }

  private async admitAll(): Promise<void> {
    for (const admit of this.waiting) {
      while (!this.hasTime()) await new Promise<void>((resolve) => setImmediate(resolve));
      admit();
      // Whoever has been admitted does his work before the next one is.
      await Promise.resolve();
      this.waiting.delete(admit);
    }
  }

  private hasTime(): boolean {
    const now = performance.now();
    if (this.endsAt === undefined) {
      this.endsAt = now + this.budgetMs;
      setImmediate(() => (this.endsAt = undefined));
    }
    return now < this.endsAt;
  }
}
