/** One who waits for any of several things: each rings, and he looks which it was. */
export class Bell {
  private rung = false;
  private hear: (() => void) | undefined;

  ring(): void {
    this.rung = true;
    this.hear?.();
  }

  /** Resolves when it has been rung since the last time that this resolved. */
  async heard(): Promise<void> {
    if (!this.rung) await new Promise<void>((resolve) => (this.hear = resolve));
    this.hear = undefined;
    this.rung = false;
  }
}
