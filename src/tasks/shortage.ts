/** Out of descriptors or memory: that is the daemon's own state of the moment, and says nothing of what it looked at. */
import { setTimeout as sleep } from "node:timers/promises";

const SHORTAGES: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

/** How often what could not be done is tried again, in milliseconds. */
const AGAIN_MS = 100;

/** Does it as often as it takes while there is a shortage; rejects with every other error. */
export async function onceThereIsEnough<T>(act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!SHORTAGES.has((error as { readonly code?: unknown }).code)) throw error;
    }
    await sleep(AGAIN_MS);
  }
}
