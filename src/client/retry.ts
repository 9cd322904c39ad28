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
  return isUnavailable(error) || isOdd(error);
}

function isUnavailable({ code, reason }: StockadeError): boolean {
  return code === "UNAVAILABLE" && reason !== "SERVER_UNTRUSTED" && reason !== "CLIENT_UNTRUSTED";
}

/** A stream that was reset, or one that nobody can make sense of: what a proxy says that is no daemon, too. */
function isOdd({ code, reason }: StockadeError): boolean {
  return reason === undefined && ODD.includes(code);
}

const ODD: readonly string[] = ["CANCELLED", "INTERNAL", "UNKNOWN"];

/** A daemon that goes resets a stream once, or twice; one that always does so is none. */
const ODD_MAX = 5;

/** What grpc-js says where it has found nobody, however long it has looked. */
const NOBODY = /^(No connection established|Name resolution failed)/;

export interface RetryOptions {
  /** How long after it was first cut off a call may be made again, in milliseconds. */
  readonly retryMs: number;
  /** The same, before it has ever been connected. Default: the same. */
  readonly firstRetryMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** The attempts at one call that can be repeated. */
export class Attempts {
  private readonly backoff = new Backoff();
  /** Of a clock that nobody sets, as every time here is. */
  private begun = performance.now();
  /** When it was first cut off, since something was last heard. */
  private since: number | undefined;
  private odd = 0;
  private connected = false;

  constructor(private readonly options: RetryOptions) {}

  /** Something has been heard: to be cut off then is another loss. */
  progress(): void {
    this.connected = true;
    this.backoff.reset();
    this.since = undefined;
    this.odd = 0;
  }

  /**
   * Resolves when the next one may begin, or once the signal fires: then it is answered at once. Throws `error`, with
   * which the last one has failed, if there is to be no other.
   */
  async next(error: unknown): Promise<void> {
    const { retryMs, firstRetryMs = retryMs, signal } = this.options;
    if (signal?.aborted === true || !(error instanceof StockadeError) || !isCutOff(error)) throw error;
    const now = performance.now();
    // One that had waited for long was connected.
    if (now - this.begun > MOST_MS && !NOBODY.test(error.message)) this.progress();
    this.since ??= now;
    if (isOdd(error)) this.odd++;
    const most = this.connected ? retryMs : firstRetryMs;
    if (now - this.since >= most || this.odd >= ODD_MAX) throw error;
    await this.backoff.pause(error, signal);
    this.begun = performance.now();
  }
}

/**
 * Makes a call that can be repeated until it is answered: one that is cut off is made again. What the last attempt
 * failed with is thrown.
 */
export async function retried<Response>(
  attempt: () => Promise<Response>,
  options: RetryOptions,
): Promise<Response> {
  const attempts = new Attempts(options);
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      await attempts.next(error);
    }
  }
}
