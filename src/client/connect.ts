import { StockadeClient } from "./client.js";
import type { ConnectOptions } from "./connection.js";

/** How long a call that can be repeated is, by default, in milliseconds. */
const RETRY_MS = 10_000;

/**
 * A client of the daemon at an address; it connects with the first call. Throws a TypeError for options that cannot be.
 *
 * @param to an address alone: "unix:<path>", or "<host>:<port>" on loopback, without encryption
 */
export function connect(to: string | ConnectOptions): StockadeClient {
  return new StockadeClient({ retryMs: RETRY_MS, ...(typeof to === "string" ? { address: to } : to) });
}
