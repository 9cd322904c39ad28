import type { handleUnaryCall } from "@grpc/grpc-js";

import { TaskError } from "../tasks/errors.js";
import { FairTurns } from "../tasks/concurrency/fair-turns.js";
import { toServiceError } from "./status.js";

/** A unary method as this room writes it: `signal` fires when the caller has gone or its deadline has passed. */
export type UnaryMethod<Request, Response> = (request: Request, signal: AbortSignal) => Promise<Response>;

/** How much of a turn may have gone by when another call begins in it, in milliseconds. */
const TURN_BUDGET_MS = 0.5;

const turns = new FairTurns(TURN_BUDGET_MS);

async function begin<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  signal: AbortSignal,
): Promise<Response> {
  await turns.enter();
  return method(request, signal);
}

/** Makes a grpc-js handler of a method. `report` gets the errors that are no answer to the client. */
export function unary<Request, Response>(
  method: UnaryMethod<Request, Response>,
  report: (error: unknown) => void,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const caller = new AbortController();
    call.on("cancelled", () =>
      caller.abort(new TaskError({ reason: "CALL_CANCELLED", message: "the caller has gone" })),
    );
    begin(method, call.request, caller.signal)
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
      .catch(report);
  };
}
