/** The one way from an error to a gRPC status with standard details. */
import { Metadata, status, type ServiceError } from "@grpc/grpc-js";

import type { Any } from "../gen/google/protobuf/any.js";
import { BadRequest, ErrorInfo, RetryInfo } from "../gen/google/rpc/error_details.js";
import { Status } from "../gen/google/rpc/status.js";
import { TaskError } from "../tasks/errors.js";

/** `ErrorInfo.domain` of every error. */
const DOMAIN = "stockade";

/** When to try again what cannot be done just now: a daemon is back in about that time. */
const RETRY_DELAY = { seconds: 1n, nanos: 0 };

/** Trailer that carries the encoded google.rpc.Status. */
const DETAILS_TRAILER = "grpc-status-details-bin";

function packed(typeName: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/${typeName}`, value };
}

/** An error that is none of ours is answered without its text: it may hold what is the host's. */
export function toServiceError(error: unknown): ServiceError {
  const known =
    error instanceof TaskError
      ? error
      : new TaskError({ reason: "INTERNAL", message: "internal error; the daemon's log has more" });
  const details = [
    packed(
      "google.rpc.ErrorInfo",
      ErrorInfo.encode({
        reason: known.reason,
        domain: DOMAIN,
        metadata: new Map(Object.entries(known.metadata)),
      }).finish(),
    ),
  ];
  if (known.field !== undefined) {
    const violation = { field: known.field, description: known.message };
    details.push(
      packed("google.rpc.BadRequest", BadRequest.encode({ fieldViolations: [violation] }).finish()),
    );
  }
  if (known.code === "UNAVAILABLE") {
    details.push(packed("google.rpc.RetryInfo", RetryInfo.encode({ retryDelay: RETRY_DELAY }).finish()));
  }
  const code = status[known.code];
  const metadata = new Metadata();
  metadata.set(
    DETAILS_TRAILER,
    Buffer.from(Status.encode({ code, message: known.message, details }).finish()),
  );
  return Object.assign(new Error(known.message), { code, details: known.message, metadata });
}
