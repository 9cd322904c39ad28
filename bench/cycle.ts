/** Configure, Start and Wait of one task through the SDK, or Run of one. */
import type { StockadeClient } from "../src/client/index.js";
import { COMMAND } from "./options.js";

/** Milliseconds. */
export interface Cycle {
  readonly configure: number;
  readonly start: number;
  readonly wait: number;
  readonly whole: number;
}

let names = 0;

/** A request for a task in an alloc of its own. */
export function freshTask(): { allocId: string; taskName: string; command: string } {
  return { allocId: `a${names++}`, taskName: "task", command: COMMAND };
}

export async function runCycle(client: StockadeClient): Promise<Cycle> {
  const begin = performance.now();
  const { id } = await client.configure(freshTask());
  const configured = performance.now();
  await client.start(id);
  const started = performance.now();
  const { exit } = await client.wait(id);
  const ended = performance.now();
  if (exit?.status?.$case !== "exitCode" || exit.status.value !== 0)
    throw new Error(`${COMMAND} has not exited with 0`);
  return {
    configure: configured - begin,
    start: started - configured,
    wait: ended - started,
    whole: ended - begin,
  };
}

/** The same by one call; resolves with how long it took, in milliseconds. */
export async function runOnce(client: StockadeClient): Promise<number> {
  const begin = performance.now();
  await client.run([COMMAND]);
  return performance.now() - begin;
}

/** A task that has ended: Wait of it is a call that nothing is done for. */
export async function endedTask(client: StockadeClient): Promise<string> {
  const { id } = await client.configure(freshTask());
  await client.start(id);
  await client.wait(id);
  return id;
}
