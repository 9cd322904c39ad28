/**
 * Keeps the turns of the event loop short: work that comes in a burst, of calls, of the launcher's words or of what the
 * thread pool has done, is spread over several.
 */
export class FairTurns {
  private endsAt: number | undefined;
  /** In their order. */
  private readonly waiting = new Set<() => void>();

  /** @param budgetMs how much of a turn may have gone by, from its first work on, when another begins in it, in milliseconds */
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
      // Whoever has been admitted does his work before the next one is: a tick comes after all that promises have set off.
      await new Promise<void>((resolve) => process.nextTick(resolve));
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

/** How much of a turn may have gone by when more is begun in it, in milliseconds: with one piece of work more it stays below 5. */
const TURN_BUDGET_MS = 2;

/** Of this process's event loop, whatever the work: there is one loop, and so one budget. */
export const turns = new FairTurns(TURN_BUDGET_MS);

/** The same answer, in a turn that has time for what it sets off. */
export async function inTurn<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } finally {
    await turns.enter();
  }
}
