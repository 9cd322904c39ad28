import { Metadata, status, type ServiceError } from "@grpc/grpc-js";

import { BadRequest, ErrorInfo, RetryInfo } from "../gen/google/rpc/error_details.js";
import { Status } from "../gen/google/rpc/status.js";
import { brand } from "./brand.js";
import { distrustIn } from "./distrust.js";
import { toMs } from "./durations.js";
import type { ErrorReason, LocalReason } from "./reasons.js";

/** A call that failed, with what the daemon said of it. */
export class StockadeError extends Error {
  static {
    brand(this, "StockadeError");
  }

  /** Canonical name of the status code: "FAILED_PRECONDITION". */
  readonly code: string;
  /** Why, from docs/errors.md, or one of the client's own; undefined: nobody has said. */
  readonly reason: ErrorReason | (string & {}) | undefined;
  /** The request's field that is wrong, if it is one. */
  readonly field: string | undefined;
  /** For programs: what docs/errors.md says of the reason. */
  readonly metadata: Readonly<Record<string, string>>;
  /** How long the daemon wants to be left alone before the call is made again, in milliseconds; undefined: it has not said. */
  readonly retryDelayMs: number | undefined;

  constructor(
    cause: ServiceError,
    { reason, ...options }: { readonly cause?: unknown; readonly reason?: LocalReason } = {},
  ) {
    const distrust = distrustIn(cause);
    super(distrust?.message ?? cause.details, { cause, ...options });
    this.name = "StockadeError";
    this.code = status[cause.code];
    const details = decodeDetails(cause);
    this.reason = details.info?.reason ?? distrust?.reason ?? reason;
    this.metadata = Object.fromEntries(details.info?.metadata ?? []);
    this.field = details.badRequest?.fieldViolations[0]?.field;
    const delay = details.retryInfo?.retryDelay;
    this.retryDelayMs = delay === undefined ? undefined : toMs(delay);
  }
}

/** A failure of which the client itself knows, and not the daemon. */
export function localError(
  code: keyof typeof status,
  message: string,
  options: { readonly cause?: unknown; readonly reason?: LocalReason } = {},
): StockadeError {
  const error = { code: status[code], details: message, metadata: new Metadata() };
  return new StockadeError(Object.assign(new Error(message), error), options);
}

interface Details {
  info?: ErrorInfo;
  badRequest?: BadRequest;
  retryInfo?: RetryInfo;
}

function decodeDetails(error: ServiceError): Details {
  const details: Details = {};
  const [encoded] = error.metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(encoded)) return details;
  for (const { typeUrl, value } of Status.decode(encoded).details) {
    if (typeUrl.endsWith("/google.rpc.ErrorInfo")) details.info = ErrorInfo.decode(value);
    if (typeUrl.endsWith("/google.rpc.BadRequest")) details.badRequest = BadRequest.decode(value);
    if (typeUrl.endsWith("/google.rpc.RetryInfo")) details.retryInfo = RetryInfo.decode(value);
  }
  return details;
}
