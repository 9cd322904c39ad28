/**
 * Those who wait for something that happens once. A reaction on a promise stays until the promise settles; here, one
 * who has gone takes himself out, and leaves nothing for however long the others still wait.
 */
export class Waiters<T> {
  private readonly waiting = new Set<(value: T) => void>();
  private happened: { readonly value: T } | undefined;

  /** Resolves once it has happened; rejects with the reason of `gone` when that fires first. */
  async wait(gone?: AbortSignal): Promise<T> {
    if (this.happened !== undefined) return this.happened.value;
    gone?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const answer = (value: T): void => {
        gone?.removeEventListener("abort", leave);
        resolve(value);
      };
      const leave = (): void => {
        this.waiting.delete(answer);
        reject(gone?.reason as Error);
      };
      this.waiting.add(answer);
      gone?.addEventListener("abort", leave, { once: true });
    });
  }

  /** It has happened. The first time counts. */
  settle(value: T): void {
    this.happened ??= { value };
    for (const answer of this.waiting) answer(this.happened.value);
    this.waiting.clear();
  }
}
