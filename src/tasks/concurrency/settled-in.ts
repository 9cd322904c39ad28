import { setTimeout as sleep } from "node:timers/promises";

/** Resolves when all have, or after so many milliseconds; rejects with the first that does before. */
export async function settledIn(promises: readonly Promise<unknown>[], ms: number): Promise<void> {
  const late = new AbortController();
  try {
    await Promise.race([Promise.all(promises), sleep(ms, undefined, { signal: late.signal })]);
  } finally {
    late.abort();
  }
}
