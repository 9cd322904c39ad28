/** What to take back when a sequence of steps fails: the last step first. */
export class Undo {
  private readonly steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.steps.push(step);
  }

  /** Runs every step, also after one has failed; `report` gets the failures. */
  async run(report: (error: unknown) => void): Promise<void> {
    for (const step of this.steps.reverse()) {
      try {
        await step();
      } catch (error) {
        report(error);
      }
    }
    this.steps.length = 0;
  }
}
