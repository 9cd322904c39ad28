/** The errors of this service: one class, one table of reasons. docs/errors.md says the same to clients. */

/** The canonical codes in use. Source: google/rpc/code.proto. */
export type CodeName =
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "FAILED_PRECONDITION"
  | "RESOURCE_EXHAUSTED"
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
  USER_FORBIDDEN: "PERMISSION_DENIED",
  GROUP_FORBIDDEN: "PERMISSION_DENIED",
  PATH_FORBIDDEN: "PERMISSION_DENIED",
  ALREADY_STARTED: "FAILED_PRECONDITION",
  ENDED: "FAILED_PRECONDITION",
  UNENFORCEABLE: "FAILED_PRECONDITION",
  MEMORY_IN_USE: "FAILED_PRECONDITION",
  LIMIT_REFUSED: "INVALID_ARGUMENT",
  COMMAND_NOT_EXECUTABLE: "FAILED_PRECONDITION",
  SANDBOX_FAILED: "FAILED_PRECONDITION",
  LINK_BYTES_EXCEEDED: "RESOURCE_EXHAUSTED",
  TOO_MANY_TASKS: "RESOURCE_EXHAUSTED",
  HOST_EXHAUSTED: "RESOURCE_EXHAUSTED",
  STOPPING: "UNAVAILABLE",
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

/** What a client is told. Every other error is a defect, or the host's, and is answered without its text. */
export class TaskError extends Error {
  readonly reason: ErrorReason;
  readonly code: CodeName;
  readonly field: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;

  constructor({ reason, message, field, metadata, cause }: TaskErrorParts) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "TaskError";
    this.reason = reason;
    this.code = REASON_CODES[reason];
    this.field = field;
    this.metadata = Object.freeze({ ...metadata });
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
