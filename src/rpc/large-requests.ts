/**
 * Requests that take some milliseconds to decode, and as much again to look at: each is decoded in a turn of its own, and
 * those of one identity so far apart that others hardly notice.
 */
import { setImmediate as immediate, setTimeout as sleep } from "node:timers/promises";

import type { Caller } from "../tasks/access/identity.js";
import { Deferred } from "../tasks/concurrency/deferred.js";
import { turns } from "../tasks/concurrency/fair-turns.js";
import { TaskError } from "../tasks/errors.js";

/** What one may take to decode, in milliseconds: megabytes of a file take no more, lists of tens of thousands do. */
const FREE_MS = 2;

/** So many times as long as one took beyond that is it until the next one of the same identity. */
const PAUSE_TIMES = 49;

/** What those of one identity may hold while they wait to be decoded, in bytes. */
const WAITING_MAX = 128 * 2 ** 20;

interface Queue {
  /** Resolves when the last one that waits has been decoded, and the pause after it is over. */
  last: Promise<void>;
  bytes: number;
}

/** A request of which nothing but the number of its parts has been looked at. */
export interface LargeRequest<Request> {
  readonly bytes: number;
  readonly decode: () => Request;
}

export class LargeRequests {
  private readonly queues = new Map<string, Queue>();

  /** Rejects with a TaskError, TOO_MANY_CALLS, where those that wait hold as much as they may. The host's own administrator is not held up. */
  async decode<Request>(large: LargeRequest<Request>, by: Caller, signal: AbortSignal): Promise<Request> {
    const { name } = by.identity ?? { name: undefined };
    if (name === undefined) {
      await turnOfItsOwn();
      return large.decode();
    }
    const queue = this.queues.get(name) ?? { last: Promise.resolve(), bytes: 0 };
    if (queue.bytes + large.bytes > WAITING_MAX) throw tooMany();
    this.queues.set(name, queue);
    queue.bytes += large.bytes;
    const before = queue.last;
    const pause = new Deferred<number>();
    queue.last = pause.promise.then((ms) => (ms === 0 ? undefined : sleep(ms, undefined, { ref: false })));
    let pauseMs = 0;
    try {
      await before;
      await turnOfItsOwn();
      signal.throwIfAborted();
      const begin = performance.now();
      const request = large.decode();
      pauseMs = Math.max(0, performance.now() - begin - FREE_MS) * PAUSE_TIMES;
      return request;
    } finally {
      queue.bytes -= large.bytes;
      pause.resolve(pauseMs);
      const { last } = queue;
      void last.then(() => {
        if (queue.last === last) this.queues.delete(name);
      });
    }
  }
}

/** Resolves in a turn of the event loop after the one in which the request came, and was counted. */
async function turnOfItsOwn(): Promise<void> {
  // An immediate that is set while something is received comes within the same turn.
  await immediate();
  await immediate();
  await turns.enter();
}

function tooMany(): TaskError {
  return new TaskError({
    reason: "TOO_MANY_CALLS",
    message: `large requests of this caller that are not begun hold ${WAITING_MAX / 2 ** 20} MiB, which is as much as they may`,
  });
}

/** Of this process: there is one event loop. */
export const largeRequests = new LargeRequests();
