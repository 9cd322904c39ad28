/** What a client does whose daemon is killed under its calls. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { StockadeError } from "../../src/client";
import { SLOW } from "./requires";

/** How long it waits before it calls again, in milliseconds. */
const AGAIN_MS = 20;
/** How long in all, in milliseconds. */
const PATIENCE_MS = 120_000 * SLOW;

/** The daemon has gone under the call, or there is none at the moment. */
export function isLoss(error: unknown): boolean {
  if (error instanceof StockadeError) return ["UNAVAILABLE", "CANCELLED"].includes(error.code);
  return error instanceof Error && error.message.includes("does not run");
}

/** Repeats a call that a kill has cut off. */
export async function survive<T>(call: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + PATIENCE_MS; ;) {
    try {
      return await call();
    } catch (error) {
      if (!isLoss(error) || Date.now() > end) throw error;
      await sleep(AGAIN_MS);
    }
  }
}

/** Undefined: there is no such file. */
export function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
