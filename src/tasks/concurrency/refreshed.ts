export interface Ages {
  /** A value of this age is looked up anew when somebody asks for it, who is given it all the same. In milliseconds. */
  readonly refreshMs: number;
  /** Nobody is given an older one. In milliseconds. */
  readonly mostMs: number;
}

/** A value that is looked up in the background while somebody asks for it, and by nobody's call twice at a time. */
export class Refreshed<T> {
  private last: { readonly value: T; readonly atMs: number } | undefined;
  private lookingUp: Promise<T> | undefined;

  /** @param lookUp what fails of it is told to who has to wait for it, and to nobody else */
  constructor(
    private readonly lookUp: () => Promise<T>,
    private readonly ages: Ages,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** At once, unless there is none that is young enough. */
  read(): Promise<T> {
    const { last } = this;
    const ageMs = last === undefined ? Infinity : this.nowMs() - last.atMs;
    if (last === undefined || ageMs >= this.ages.mostMs) return this.refresh();
    if (ageMs >= this.ages.refreshMs) void this.refresh().catch(() => undefined);
    return Promise.resolve(last.value);
  }

  private refresh(): Promise<T> {
    this.lookingUp ??= this.lookUpOnce().finally(() => (this.lookingUp = undefined));
    return this.lookingUp;
  }

  private async lookUpOnce(): Promise<T> {
    const value = await this.lookUp();
    this.last = { value, atMs: this.nowMs() };
    return value;
  }
}
