/**
 * Who of those that have sent much is served next, and for how long within one turn of the event loop: first whoever has
 * had least lately. So a client that floods waits for those that do not.
 */

/** How much of a turn goes to what has been received, in milliseconds. What a call sets off takes more. */
const TURN_MS = 0.2;

/** After so long a third of what somebody has had still counts, in milliseconds. */
const FORGET_MS = 1_000;

/** So many calls may have gone before their answer, and then a hundred a second: an orchestrator loses its Waits like that. */
const WASTED_MAX = 1_000;
const WASTED_FORGET_MS = 10_000;

/** One with more is served no more often than so, in milliseconds. */
const PAUSE_MS = 5;

/** How many are remembered; one that is forgotten begins anew. */
const SHARES_MAX = 1024;

/** A sum of which what was added before counts ever less. */
class Fading {
  private sum = 0;
  private atMs = 0;

  /** @param forgetMs after so long a third of what was added counts */
  constructor(private readonly forgetMs: number) {}

  get value(): number {
    return this.sum * Math.exp((this.atMs - performance.now()) / this.forgetMs);
  }

  add(more: number): void {
    this.sum = this.value + more;
    this.atMs = performance.now();
  }
}

/** What one client has had of the event loop lately. */
export class Share {
  /** When it may be served again, by performance.now(). */
  readyMs = 0;
  private readonly spent = new Fading(FORGET_MS);
  private readonly wasted = new Fading(WASTED_FORGET_MS);

  get spentMs(): number {
    return this.spent.value;
  }

  spend(ms: number): void {
    this.spent.add(ms);
    if (this.wasted.value > WASTED_MAX) this.readyMs = performance.now() + PAUSE_MS;
  }

  /** A call has gone before it was answered. */
  waste(): void {
    this.wasted.add(1);
  }
}

export class Shares {
  /** Least recently asked for first. */
  private readonly all = new Map<string, Share>();

  /** @param owner an identity, or an address */
  of(owner: string): Share {
    const share = this.all.get(owner) ?? new Share();
    this.all.delete(owner);
    this.all.set(owner, share);
    const [oldest] = this.all.keys();
    if (this.all.size > SHARES_MAX && oldest !== undefined) this.all.delete(oldest);
    return share;
  }
}

/** What work is done for in slices. */
export interface Sliced {
  readonly share: Share;
  /** Does some of it; false: there is no more for now. */
  pass(): boolean;
}

export class Slices {
  private readonly waiting = new Set<Sliced>();
  private usedMs = 0;
  private turn: NodeJS.Immediate | undefined;
  private pause: NodeJS.Timeout | undefined;

  /** Does a slice of it now, where this turn has time for it; what is left later. */
  enter(one: Sliced): void {
    if (this.usedMs < TURN_MS && this.waiting.size === 0 && one.share.readyMs <= performance.now())
      this.pass(one);
    else this.waiting.add(one);
    this.goOn();
  }

  private begin(): void {
    this.turn = undefined;
    this.usedMs = 0;
    while (this.usedMs < TURN_MS) {
      const one = this.next();
      if (one === undefined) break;
      this.waiting.delete(one);
      this.pass(one);
    }
    if (this.usedMs > 0) this.goOn();
    else if (this.waiting.size > 0) this.pause ??= setTimeout(() => this.resume(), PAUSE_MS).unref();
  }

  private resume(): void {
    this.pause = undefined;
    this.goOn();
  }

  private goOn(): void {
    this.turn ??= setImmediate(() => this.begin());
  }

  private pass(one: Sliced): void {
    const begin = performance.now();
    if (one.pass()) this.waiting.add(one);
    const ms = performance.now() - begin;
    this.usedMs += ms;
    one.share.spend(ms);
  }

  /** Whoever has had least, of those that may be served. */
  private next(): Sliced | undefined {
    const now = performance.now();
    let next: Sliced | undefined;
    for (const one of this.waiting) {
      if (one.share.readyMs > now) continue;
      if (next === undefined || one.share.spentMs < next.share.spentMs) next = one;
    }
    return next;
  }
}
