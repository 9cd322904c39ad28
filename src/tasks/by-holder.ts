/** What is held, by whose it is: so that who holds most can be made to give way. Of each, the oldest first. */
export class ByHolder<T> {
  private readonly held = new Map<string, Set<T>>();

  add(holder: string, one: T): void {
    const same = this.held.get(holder);
    if (same === undefined) this.held.set(holder, new Set([one]));
    else same.add(one);
  }

  delete(holder: string, one: T): void {
    const same = this.held.get(holder);
    same?.delete(one);
    if (same?.size === 0) this.held.delete(holder);
  }

  clear(): void {
    this.held.clear();
  }

  /** Of whom has most; undefined: there is nothing. */
  get oldestOfMost(): T | undefined {
    let most: ReadonlySet<T> = new Set();
    for (const same of this.held.values()) if (same.size > most.size) most = same;
    const [oldest] = most;
    return oldest;
  }
}
