/**
 * Keeps the turns of the event loop short: work that comes in a burst, of calls, of the launcher's words or of what the
 * thread pool has done, is spread over several.
 */
export class FairTurns {
  private endsAt: number | undefined;
  /** Somebody has been let in whose work is yet to come: those who ask meanwhile would all be, and work in one turn. */
  private admitted = false;
  /** In their order. */
  private readonly waiting = new Set<() => void>();

  /** @param budgetMs how much of a turn may have gone by, from its first work on, when another begins in it, in milliseconds */
  constructor(private readonly budgetMs: number) {}

  /** Resolves in a turn that has time left; undefined: this is one. */
  enter(): Promise<void> | undefined {
    if (this.waiting.size === 0 && !this.admitted && this.hasTime()) {
      this.admitted = true;
      process.nextTick(() => (this.admitted = false));
      return undefined;
    }
    return new Promise((resolve) => {
      this.waiting.add(resolve);
      if (this.waiting.size === 1) void this.admitAll();
    });
  }

  private async admitAll(): Promise<void> {
    await this.worked();
    for (const admit of this.waiting) {
      while (!this.hasTime()) await new Promise<void>((resolve) => setImmediate(resolve));
      admit();
      await this.worked();
      this.waiting.delete(admit);
    }
  }

  /** Whoever has been admitted has done his work then: a tick comes after all that promises have set off. */
  private worked(): Promise<void> {
    return new Promise((resolve) => process.nextTick(resolve));
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
const TURN_BUDGET_MS = 1;

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
