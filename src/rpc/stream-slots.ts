import { TaskError } from "../tasks/errors.js";

/** Bounds how many streams are open: each holds what its reader has not taken yet. */
export class StreamSlots {
  private open = 0;

  constructor(private readonly most: number) {}

  /** Rejects with a TaskError where as many are open as may be. */
  async hold(stream: () => Promise<void>): Promise<void> {
    if (this.open >= this.most) {
      throw new TaskError({
        reason: "TOO_MANY_STREAMS",
        message: `${this.most} streams are open, which is as many as this daemon may have`,
      });
    }
    this.open++;
    try {
      await stream();
    } finally {
      this.open--;
    }
  }
}
