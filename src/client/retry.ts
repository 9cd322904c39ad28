/** When a call that has failed is made again, and which may be. */
import { setTimeout as sleep } from "node:timers/promises";

import { StockadeError } from "./error.js";

/** The longest pause before a second attempt, in milliseconds; it doubles with each, up to the most. */
const FIRST_MS = 40;
const MOST_MS = 2_000;

/** Pauses that double, each shortened at random by up to a half: many clients of one daemon don't come back at once. */
export class Backoff {
  private most = FIRST_MS;

  /** @param random answers 0 to 1 */
  constructor(private readonly random: () => number = Math.random) {}

  /** After an attempt that got somewhere. */
  reset(): void {
    this.most = FIRST_MS;
  }

  /** How long to wait now, in milliseconds: at least what the daemon has asked for. */
  next(error: unknown): number {
    const pause = this.most * (1 - this.random() / 2);
    this.most = Math.min(2 * this.most, MOST_MS);
    return pause + (error instanceof StockadeError ? (error.retryDelayMs ?? 0) : 0);
  }

  /** Waits so long, or until the signal fires. */
  async pause(error: unknown, signal?: AbortSignal): Promise<void> {
    await sleep(this.next(error), undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  }
}

/** What grpc-js says of a connection that has gone, by its own codes or by HTTP/2's, whatever the daemon is about to do. */
export function isCutOff(error: unknown): boolean {
  if (!(error instanceof StockadeError)) return false;
  return error.code === "UNAVAILABLE" || (error.reason === undefined && CUT_OFF.includes(error.code));
}

const CUT_OFF: readonly string[] = ["CANCELLED", "INTERNAL", "UNKNOWN"];

export interface RetryOptions {
  /** How long after it was first cut off a call may be made again, in milliseconds. */
  readonly retryMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Makes a call that can be repeated until it is answered: one that is cut off is made again. What the last attempt
 * failed with is thrown.
 */
export async function retried<Response>(
  attempt: () => Promise<Response>,
  { retryMs, signal }: RetryOptions,
): Promise<Response> {
  const backoff = new Backoff();
  let since: number | undefined;
  for (;;) {
    const begun = Date.now();
    try {
      return await attempt();
    } catch (error) {
      const now = Date.now();
      if (signal?.aborted === true || !isCutOff(error)) throw error;
      // One that had waited for long was connected: this is another loss.
      if (since === undefined || now - begun > MOST_MS) {
        since = now;
        backoff.reset();
      }
      if (now - since >= retryMs) throw error;
      await backoff.pause(error, signal);
    }
  }
}
