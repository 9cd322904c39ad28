/** What tells a client, and whatever closes silent streams on the way, that a stream is alive. */

export interface Heartbeat {
  readonly kind: "heartbeat";
}

const HEARTBEAT: Heartbeat = { kind: "heartbeat" };

/**
 * The events of a stream, and a heartbeat whenever there has been none for so long: what its source reads, drops or waits for
 * meanwhile breaks no silence. Whoever stops asking first sees to it that the source ends what it waits for.
 * @param intervalMs undefined: no heartbeats
 */
export function withHeartbeats<Event>(
  events: AsyncGenerator<Event, void, undefined>,
  intervalMs: number | undefined,
): AsyncGenerator<Event | Heartbeat, void, undefined> {
  return intervalMs === undefined ? events : beating(events, intervalMs);
}

async function* beating<Event>(
  events: AsyncGenerator<Event, void, undefined>,
  intervalMs: number,
): AsyncGenerator<Event | Heartbeat, void, undefined> {
  const clock = new Clock(intervalMs);
  let next: Promise<IteratorResult<Event, void>> | undefined;
  try {
    for (;;) {
      next ??= events.next();
      const result = await clock.before(next);
      if (result === undefined) yield HEARTBEAT;
      else if (result.done === true) return;
      else {
        next = undefined;
        yield result.value;
      }
      clock.restart();
    }
  } finally {
    clock.stop();
    await events.return();
  }
}

/** One timer for all of a stream, which may have thousands of events within its interval. */
class Clock {
  private since = performance.now();
  private strike: (() => void) | undefined;
  private timer: NodeJS.Timeout;

  constructor(private readonly intervalMs: number) {
    this.timer = this.arm(intervalMs);
  }

  /** Undefined: nothing has come of it before the interval was over, and it is still to come. */
  before<Result>(coming: Promise<Result>): Promise<Result | undefined> {
    return new Promise((resolve, reject) => {
      this.strike = () => resolve(undefined);
      coming.then(resolve, reject);
    });
  }

  restart(): void {
    this.since = performance.now();
    this.strike = undefined;
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private arm(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.look(), ms);
  }

  private look(): void {
    const left = this.since + this.intervalMs - performance.now();
    if (left <= 0) this.strike?.();
    this.timer = this.arm(left > 0 ? left : this.intervalMs);
  }
}
