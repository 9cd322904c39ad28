/**
 * How fast one address may open connections. A handshake takes a millisecond of the event loop: without this a client
 * that does nothing else would have it all.
 */

/** Connections at once, and per second from then on. */
const BURST = 200;
const PER_SECOND = 100;

/** Of how many addresses it is remembered; one that is forgotten has its burst again. */
const ADDRESSES_MAX = 1024;

interface Bucket {
  tokens: number;
  filledMs: number;
}

export class Pace {
  /** Least recently seen first. */
  private readonly buckets = new Map<string, Bucket>();

  allows(address: string, nowMs: number = performance.now()): boolean {
    const bucket = this.buckets.get(address) ?? { tokens: BURST, filledMs: nowMs };
    bucket.tokens = Math.min(BURST, bucket.tokens + ((nowMs - bucket.filledMs) / 1000) * PER_SECOND);
    bucket.filledMs = nowMs;
    this.buckets.delete(address);
    this.buckets.set(address, bucket);
    const [oldest] = this.buckets.keys();
    if (this.buckets.size > ADDRESSES_MAX && oldest !== undefined) this.buckets.delete(oldest);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}
