/**
 * Requests of which not all is there yet. A client may send many, each short of its end: the time that each has is
 * bounded, and so is what all of them take of memory.
 */
import { TaskError } from "../../tasks/errors.js";

/** How long a request may take, from its headers to its end, in milliseconds. */
const REQUEST_MS = 30_000;

/** How often it is looked, in milliseconds. */
const LOOK_MS = 100;

/** So many hold too little to be looked at: each is smaller than the largest request. */
const FEW = 32;

/** What the daemon's buffers may hold in all while requests are under way, in bytes. */
const BUFFERED_MAX = 512 * 2 ** 20;

export interface Receiver {
  /** Whose it is. */
  readonly holder: string;
  /** Answers the call, and forgets what there is of it. */
  end(error: TaskError): void;
}

export class Receiving {
  /** Since when; in the order in which they came. */
  private readonly since = new Map<Receiver, number>();
  private timer: NodeJS.Timeout | undefined;

  begin(receiver: Receiver): void {
    this.since.set(receiver, performance.now());
    this.timer ??= setInterval(() => this.look(), LOOK_MS).unref();
  }

  end(receiver: Receiver): void {
    this.since.delete(receiver);
  }

  private look(): void {
    const late = performance.now() - REQUEST_MS;
    for (const [receiver, since] of this.since) {
      if (since > late) break;
      this.fail(receiver, tooSlow());
    }
    if (this.since.size > FEW && process.memoryUsage().arrayBuffers > BUFFERED_MAX) {
      for (const receiver of this.ofWhoHasMost()) this.fail(receiver, tooMuch());
    }
    if (this.since.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private fail(receiver: Receiver, error: TaskError): void {
    this.since.delete(receiver);
    receiver.end(error);
  }

  private ofWhoHasMost(): readonly Receiver[] {
    const byHolder = new Map<string, Receiver[]>();
    for (const receiver of this.since.keys()) {
      const same = byHolder.get(receiver.holder);
      if (same === undefined) byHolder.set(receiver.holder, [receiver]);
      else same.push(receiver);
    }
    const [most = []] = [...byHolder.values()].sort((one, other) => other.length - one.length);
    return most;
  }
}

function tooSlow(): TaskError {
  return new TaskError({
    reason: "REQUEST_TOO_SLOW",
    message: `the request was not whole after ${REQUEST_MS / 1000} s`,
  });
}

function tooMuch(): TaskError {
  return new TaskError({
    reason: "TOO_MANY_CALLS",
    message: "requests that are not whole yet take more memory than they may",
  });
}
