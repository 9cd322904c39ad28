/** The errors of this service: one class, one table of reasons. docs/errors.md says the same to clients. */

import { clip } from "./clip.js";
import { printable } from "./printable.js";

/** The canonical codes in use. Source: google/rpc/code.proto. */
export type CodeName =
  | "INVALID_ARGUMENT"
  | "UNAUTHENTICATED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "FAILED_PRECONDITION"
  | "RESOURCE_EXHAUSTED"
  | "OUT_OF_RANGE"
  | "UNAVAILABLE"
  | "CANCELLED"
  | "INTERNAL";

/** The code of every `ErrorInfo.reason`. A reason is for good: clients match on it. */
export const REASON_CODES = {
  FIELD_INVALID: "INVALID_ARGUMENT",
  FIELD_MISSING: "INVALID_ARGUMENT",
  FIELDS_EXCLUSIVE: "INVALID_ARGUMENT",
  USER_UNKNOWN: "INVALID_ARGUMENT",
  GROUP_UNKNOWN: "INVALID_ARGUMENT",
  TASK_NOT_FOUND: "NOT_FOUND",
  TASK_EXISTS: "ALREADY_EXISTS",
  REQUEST_ID_REUSED: "ALREADY_EXISTS",
  USER_FORBIDDEN: "PERMISSION_DENIED",
  GROUP_FORBIDDEN: "PERMISSION_DENIED",
  PATH_FORBIDDEN: "PERMISSION_DENIED",
  CREDENTIALS_REFUSED: "UNAUTHENTICATED",
  ROLE_FORBIDDEN: "PERMISSION_DENIED",
  ALREADY_STARTED: "FAILED_PRECONDITION",
  ENDED: "FAILED_PRECONDITION",
  NOT_ENDED: "FAILED_PRECONDITION",
  NOT_REATTACHED: "FAILED_PRECONDITION",
  UNENFORCEABLE: "FAILED_PRECONDITION",
  MEMORY_IN_USE: "FAILED_PRECONDITION",
  LIMIT_REFUSED: "INVALID_ARGUMENT",
  COMMAND_NOT_EXECUTABLE: "FAILED_PRECONDITION",
  SANDBOX_FAILED: "FAILED_PRECONDITION",
  LINK_BYTES_EXCEEDED: "RESOURCE_EXHAUSTED",
  TOO_MANY_TASKS: "RESOURCE_EXHAUSTED",
  UNSTARTED_BYTES_EXCEEDED: "RESOURCE_EXHAUSTED",
  HOST_EXHAUSTED: "RESOURCE_EXHAUSTED",
  TOO_MANY_STREAMS: "RESOURCE_EXHAUSTED",
  OFFSET_BEYOND_END: "OUT_OF_RANGE",
  LOG_GONE: "NOT_FOUND",
  TOO_MANY_CALLS: "RESOURCE_EXHAUSTED",
  TOO_MANY_CONNECTIONS: "RESOURCE_EXHAUSTED",
  REQUEST_TOO_SLOW: "CANCELLED",
  STOPPING: "UNAVAILABLE",
  HELPER_GONE: "UNAVAILABLE",
  CALL_CANCELLED: "CANCELLED",
  INTERNAL: "INTERNAL",
} as const satisfies Record<string, CodeName>;

export type ErrorReason = keyof typeof REASON_CODES;

export const ERROR_REASONS: readonly ErrorReason[] = Object.freeze(
  Object.keys(REASON_CODES) as ErrorReason[],
);

export interface TaskErrorParts {
  readonly reason: ErrorReason;
  /** For people; lower case, no full stop, nothing of the host's file system. */
  readonly message: string;
  /** The field at fault, by its name in the API: "env", "mounts[2].source". */
  readonly field?: string;
  /** For programs: `ErrorInfo.metadata`. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/**
 * Most bytes of a message, and of a field's name or a value of the metadata. All of an error travels in one
 * block of HTTP/2 headers, the message three times, encoded, and clients take 8 KiB of them at least.
 */
const MESSAGE_BYTES_MAX = 512;
const VALUE_BYTES_MAX = 256;

/** Most bytes of what a message repeats of a request: what the message says of it comes after it. */
const ECHO_BYTES_MAX = 256;

/** A part of a request as it is repeated in a message. */
export function echo(text: string): string {
  return clip(text, ECHO_BYTES_MAX);
}

/** Of bounded length, and fit for a terminal. */
function shown(text: string, bytesMax: number): string {
  return clip(printable(clip(text, bytesMax)), bytesMax);
}

/** What a client is told, of bounded length, whatever the request. Every other error is a defect, or the host's, and is answered without its text. */
export class TaskError extends Error {
  readonly reason: ErrorReason;
  readonly code: CodeName;
  readonly field: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;

  constructor({ reason, message, field, metadata = {}, cause }: TaskErrorParts) {
    super(shown(message, MESSAGE_BYTES_MAX), cause === undefined ? undefined : { cause });
    this.name = "TaskError";
    this.reason = reason;
    this.code = REASON_CODES[reason];
    this.field = field === undefined ? undefined : shown(field, VALUE_BYTES_MAX);
    this.metadata = Object.freeze(
      Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, clip(value, VALUE_BYTES_MAX)])),
    );
  }
}

/** INVALID_ARGUMENT: a field's value cannot be. */
export function invalidField(field: string, message: string): TaskError {
  return new TaskError({ reason: "FIELD_INVALID", field, message });
}

/** INVALID_ARGUMENT: a field that has no default is absent or empty. */
export function missingField(field: string): TaskError {
  return new TaskError({ reason: "FIELD_MISSING", field, message: `${field} is required` });
}

/** INVALID_ARGUMENT: `field` cannot be given together with `other`. */
export function exclusiveFields(field: string, other: string): TaskError {
  return new TaskError({
    reason: "FIELDS_EXCLUSIVE",
    field,
    message: `${field} cannot be given together with ${other}`,
  });
}

/** The same error, of a message that is a field of another: what it names is below `field` there. */
export function withinField(field: string, error: unknown): unknown {
  if (!(error instanceof TaskError) || error.field === undefined) return error;
  const { reason, message, metadata } = error;
  return new TaskError({ reason, message, metadata, field: `${field}.${error.field}`, cause: error });
}
