import { setTimeout as sleep } from "node:timers/promises";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;

/**
 * Repeats a step until it succeeds, ever more slowly; `report` gets each failure. Once `giveUp` fires, the
 * next failure is the last. Resolves to whether it has succeeded.
 */
export async function persist(
  step: () => Promise<void>,
  report: (error: unknown) => void,
  giveUp: AbortSignal,
): Promise<boolean> {
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS)) {
    const last = giveUp.aborted;
    try {
      await step();
      return true;
    } catch (error) {
      report(error);
    }
    if (last) return false;
    await sleep(delayMs, undefined, { signal: giveUp }).catch(() => undefined);
  }
}
