import { setTimeout as sleep } from "node:timers/promises";

/** How late a timer may come; what is left then is waited for by looking at the clock. */
const TIMER_MS = 1.5;

/**
 * Calls at a steady pace, whether those before have been answered or not; resolves with how long after it was due each
 * was answered, in milliseconds. So a call that comes late since others are late counts as late.
 */
export async function pacedCalls(
  call: () => Promise<unknown>,
  count: number,
  everyMs: number,
): Promise<number[]> {
  const begin = performance.now();
  const answered: Promise<number>[] = [];
  for (let at = 0; at < count; at++) {
    const due = begin + at * everyMs;
    await untilClock(due);
    answered.push(call().then(() => performance.now() - due));
  }
  return Promise.all(answered);
}

async function untilClock(ms: number): Promise<void> {
  const left = ms - performance.now() - TIMER_MS;
  if (left >= 1) await sleep(left);
  while (performance.now() < ms) await new Promise((resolve) => setImmediate(resolve));
}
