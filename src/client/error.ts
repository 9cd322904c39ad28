import type { ServiceError } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";

import { BadRequest, ErrorInfo } from "../gen/google/rpc/error_details.js";
import { Status } from "../gen/google/rpc/status.js";

/** A call that failed, with what the daemon said of it. */
export class StockadeError extends Error {
  /** Canonical name of the status code: "FAILED_PRECONDITION". */
  readonly code: string;
  /** Why, from docs/errors.md; undefined where the daemon did not answer. */
  readonly reason: string | undefined;
  /** The request's field that is wrong, if it is one. */
  readonly field: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(cause: ServiceError) {
    super(cause.details, { cause });
    this.name = "StockadeError";
    this.code = status[cause.code];
    const details = decodeDetails(cause);
    this.reason = details.info?.reason;
    this.metadata = Object.fromEntries(details.info?.metadata ?? []);
    this.field = details.badRequest?.fieldViolations[0]?.field;
  }
}

interface Details {
  info?: ErrorInfo;
  badRequest?: BadRequest;
}

function decodeDetails(error: ServiceError): Details {
  const details: Details = {};
  const [encoded] = error.metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(encoded)) return details;
  for (const { typeUrl, value } of Status.decode(encoded).details) {
    if (typeUrl.endsWith("/google.rpc.ErrorInfo")) details.info = ErrorInfo.decode(value);
    if (typeUrl.endsWith("/google.rpc.BadRequest")) details.badRequest = BadRequest.decode(value);
  }
  return details;
}
