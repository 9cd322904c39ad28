import type { handleUnaryCall, ServerUnaryCall } from "@grpc/grpc-js";

import type { Caller } from "../tasks/access/identity.js";
import { TaskError } from "../tasks/errors.js";
import { callerOfCall } from "./access/callers.js";
import type { Calls } from "./calls.js";
import { decoded } from "./decode-request.js";
import { toServiceError } from "./status.js";

/**
 * A unary method as this room writes it: `signal` fires when the caller has gone or its deadline has passed; `by` is
 * whom the guard has let in.
 */
export type UnaryMethod<Request, Response> = (
  request: Request,
  signal: AbortSignal,
  by: Caller,
) => Promise<Response>;

async function begin<Request, Response>(
  method: UnaryMethod<Request, Response>,
  call: ServerUnaryCall<Request, Response>,
  signal: AbortSignal,
): Promise<Response> {
  const by = callerOfCall(call);
  // Where nobody would hear the answer, or the daemon stops, nothing is begun.
  const request = await decoded(call.request, by, signal);
  return method(request, signal, by);
}

/** Where a method's calls are counted, and what is told of them. */
export interface UnaryParts {
  readonly calls: Calls;
  /** Gets the errors that are no answer to the client. */
  readonly report: (error: unknown) => void;
}

/** Makes a grpc-js handler of a method. */
export function unary<Request, Response>(
  method: UnaryMethod<Request, Response>,
  { calls, report }: UnaryParts,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const caller = calls.begin();
    call.on("cancelled", () => calls.leave(caller));
    begin(method, call, caller.signal)
      .then(
        (response) => callback(null, response),
        (error: unknown) => {
          if (!(error instanceof TaskError)) report(error);
          callback(toServiceError(error));
        },
      )
      // An answer that cannot be sent is a defect, and one call's: no other call is to go down with it.
      .catch((error: unknown) => {
        report(error);
        callback(toServiceError(error));
      })
      .catch(report)
      .finally(() => calls.end(caller));
  };
}
