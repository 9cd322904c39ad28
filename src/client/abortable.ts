/** Who waits no longer than a signal lets him. */
import { localError } from "./error.js";

/** What `promise` comes to; rejects with CANCELLED, and the signal's reason as cause, where the signal fires before. */
export async function abortable<Value>(
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (signal === undefined) return promise;
  let abort!: () => void;
  const gone = new Promise<never>((_, reject) => {
    abort = () => reject(localError("CANCELLED", "the caller has given up", { cause: signal.reason }));
  });
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([gone, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
