/**
 * Keeps the turns of the event loop short: work of one kind that comes in a burst is done over several, so that
 * what else is due, the launcher's words first of all, is heard in between.
 */
export class FairTurns {
  private endsAt: number | undefined;

  /** @param budgetMs how much of a turn may have gone by, from its first work of this kind on, when another begins in it, in milliseconds */
  constructor(private readonly budgetMs: number) {}

  /** Resolves in a turn that has time left; undefined: this is one. */
  enter(): Promise<void> | undefined {
    return this.hasTime() ? undefined : this.later();
  }

  private async later(): Promise<void> {
    do await new Promise<void>((resolve) => setImmediate(resolve));
    while (!this.hasTime());
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
