import type { handleServerStreamingCall, ServerWritableStream } from "@grpc/grpc-js";

import type { Caller } from "../tasks/access/identity.js";
import { turns } from "../tasks/concurrency/fair-turns.js";
import { TaskError } from "../tasks/errors.js";
import { callerOfCall } from "./access/callers.js";
import { decoded } from "./decode-request.js";
import { toServiceError } from "./status.js";
import type { StreamSlots } from "./stream-slots.js";
import type { UnaryParts } from "./unary.js";

/**
 * A server-streaming method as this room writes it. The next message is asked for while the one before is being sent,
 * and no further one: a reader that stops holds two. `signal` fires when the caller has gone, its deadline has passed or
 * the daemon stops; whatever the method waits for ends then, and it throws the signal's reason. `by` is whom the guard has let in.
 */
export type StreamingMethod<Request, Response> = (
  request: Request,
  signal: AbortSignal,
  by: Caller,
) => AsyncIterable<Response>;

export interface StreamingParts extends UnaryParts {
  readonly slots: StreamSlots;
}

/** Makes a grpc-js handler of a method. */
export function streaming<Request, Response>(
  method: StreamingMethod<Request, Response>,
  { calls, report, slots }: StreamingParts,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const caller = calls.begin();
    call.on("cancelled", () => calls.leave(caller));
    slots
      .hold(() => send(call, method, caller.signal))
      .then(
        () => void call.end(),
        (error: unknown) => {
          if (!(error instanceof TaskError)) report(error);
          // This is how grpc-js wants to hear of a stream's status.
          call.emit("error", toServiceError(error));
        },
      )
      .catch(report)
      .finally(() => calls.end(caller));
  };
}

async function send<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  method: StreamingMethod<Request, Response>,
  signal: AbortSignal,
): Promise<void> {
  const writer = new Writer(call, signal);
  const by = callerOfCall(call);
  const request = await decoded(call.request, by, signal);
  let written: Promise<void> | undefined;
  for await (const response of method(request, signal, by)) {
    await written;
    await turns.enter();
    signal.throwIfAborted();
    written = writer.write(response);
  }
  await written;
  signal.throwIfAborted();
}

/** Writes one message at a time. */
class Writer<Request, Response> {
  private settle: (() => void) | undefined;

  constructor(
    private readonly call: ServerWritableStream<Request, Response>,
    gone: AbortSignal,
  ) {
    // What is written to a caller that has gone is answered by nothing.
    gone.addEventListener("abort", () => this.settle?.(), { once: true });
  }

  /** Resolves when the transport has taken it, which takes no more than the reader has room for, or when the caller has gone. */
  write(response: Response): Promise<void> {
    return new Promise((resolve) => {
      this.settle = resolve;
      this.call.write(response, () => resolve());
    });
  }
}
