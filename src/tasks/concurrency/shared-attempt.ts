import { Waiters } from "./waiters.js";

/** Work that several wait for. It is given up once all of them have gone, whoever had asked for it first. */
export class SharedAttempt<T> {
  private readonly allGone = new AbortController();
  private readonly outcome = new Waiters<() => T>();
  private callers = 0;

  /** Begins it; the signal fires, with the reason of the last who has gone, when it is given up. */
  constructor(work: (allGone: AbortSignal) => Promise<T>) {
    work(this.allGone.signal).then(
      (value) => this.outcome.settle(() => value),
      (error: unknown) =>
        this.outcome.settle(() => {
          throw error;
        }),
    );
  }

  /** Nobody can join it any more: what comes of it is an answer to nobody. */
  get isGivenUp(): boolean {
    return this.allGone.signal.aborted;
  }

  /** Settles as the work does; rejects with the reason of `caller` when that fires first. */
  async join(caller: AbortSignal): Promise<T> {
    this.callers += 1;
    try {
      return (await this.outcome.wait(caller))();
    } finally {
      this.callers -= 1;
      if (this.callers === 0 && caller.aborted) this.allGone.abort(caller.reason);
    }
  }

  /** Resolves when it is over, whatever has come of it. */
  async over(caller: AbortSignal): Promise<void> {
    await this.outcome.wait(caller);
  }
}
