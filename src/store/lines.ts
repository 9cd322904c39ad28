/** Work that is done one after the other for each key, and at the same time for different ones. */
export class Lines {
  /** The last work of each key that has not ended. */
  private readonly last = new Map<string, Promise<undefined>>();

  /** Does the work when all that was given before for the same key is done, at once if nothing is. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(key);
    const mine = before === undefined ? work() : before.then(work);
    const forget = (): undefined => {
      if (this.last.get(key) === ended) this.last.delete(key);
    };
    const ended: Promise<undefined> = mine.then(forget, forget);
    this.last.set(key, ended);
    return mine;
  }

  /** Resolves when all that has been given until now is done, well or not. */
  async done(): Promise<void> {
    await Promise.all(this.last.values());
  }
}
