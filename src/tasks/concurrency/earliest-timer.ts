/** One timer for any number of deadlines: it fires at the earliest. */
export class EarliestTimer {
  private timer: NodeJS.Timeout | undefined;
  private firesAt = Infinity;

  constructor(private readonly act: () => void) {}

  /** To fire in so many milliseconds, unless it fires before. */
  inAtMost(ms: number): void {
    const at = performance.now() + ms;
    if (at >= this.firesAt) return;
    clearTimeout(this.timer);
    this.firesAt = at;
    this.timer = setTimeout(() => {
      this.cancel();
      this.act();
    }, ms);
  }

  cancel(): void {
    clearTimeout(this.timer);
    this.firesAt = Infinity;
  }
}
