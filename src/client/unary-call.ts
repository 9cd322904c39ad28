/** One request and one answer, as a promise: once, or as often as it takes. */
import type { CallOptions, ClientUnaryCall, Metadata, ServiceError } from "@grpc/grpc-js";

import { StockadeError } from "./error.js";
import { retried } from "./retry.js";

export interface WaitSettings {
  /** Ends the waiting, with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

export interface CallSettings extends WaitSettings {
  /** The call's deadline, in milliseconds from now; of one that is repeated, of all attempts together. */
  readonly timeoutMs?: number;
}

/** Of a call that changes nothing, or the same when it is repeated. */
export interface RepeatableCallSettings extends CallSettings {
  /**
   * How long after it was first cut off, because connection or daemon have gone, it may be made again, in milliseconds.
   * Default: the client's.
   */
  readonly retryMs?: number;
}

/** A method of the generated client, and what it is called with. */
export interface UnaryCall<Request, Response> {
  readonly method: (
    request: Request,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: Response) => void,
  ) => ClientUnaryCall;
  readonly request: Request;
  readonly metadata: () => Metadata;
}

/** Rejects with a StockadeError. */
export function call<Request, Response>(
  { method, request, metadata }: UnaryCall<Request, Response>,
  { signal, timeoutMs }: CallSettings,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
    const made = method(request, metadata(), options, (error, response) => {
      signal?.removeEventListener("abort", cancel);
      if (error === null) resolve(response);
      else reject(new StockadeError(error));
    });
    const cancel = (): void => made.cancel();
    if (signal?.aborted === true) cancel();
    else signal?.addEventListener("abort", cancel, { once: true });
  });
}

/** A call that can be made again, and is where it was cut off. Rejects with a StockadeError. */
export function repeat<Request, Response>(
  unary: UnaryCall<Request, Response>,
  settings: RepeatableCallSettings & { readonly retryMs: number },
): Promise<Response> {
  const { signal, timeoutMs, retryMs } = settings;
  // Of a clock that nobody sets; only what is passed to grpc-js is a time of day.
  const end = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
  const attempt = (): Promise<Response> =>
    call(unary, { ...settings, ...(end === undefined ? {} : { timeoutMs: end - performance.now() }) });
  return retried(attempt, { retryMs, signal });
}
