/**
 * The reasons that the client itself has, without an answer of the daemon's. SERVER_UNTRUSTED: the server's certificate
 * is none that `tls` trusts, or has another name. CLIENT_UNTRUSTED: a server that says so, which what stands before a
 * daemon may be, refuses the certificate of `tls`, or wants one; a daemon closes the connection, and the client cannot
 * tell that from another loss. CLIENT_CLOSED: the call was made after `close`.
 */
export const LOCAL_REASONS = ["SERVER_UNTRUSTED", "CLIENT_UNTRUSTED", "CLIENT_CLOSED"] as const;

export type LocalReason = (typeof LOCAL_REASONS)[number];

/** The reasons of errors that the daemon answers: docs/errors.md explains each. */
export const ERROR_REASONS = [
  "FIELD_INVALID",
  "FIELD_MISSING",
  "FIELDS_EXCLUSIVE",
  "USER_UNKNOWN",
  "GROUP_UNKNOWN",
  "TASK_NOT_FOUND",
  "TASK_EXISTS",
  "REQUEST_ID_REUSED",
  "USER_FORBIDDEN",
  "GROUP_FORBIDDEN",
  "PATH_FORBIDDEN",
  "CREDENTIALS_REFUSED",
  "ROLE_FORBIDDEN",
  "ALREADY_STARTED",
  "ENDED",
  "NOT_ENDED",
  "NOT_REATTACHED",
  "UNENFORCEABLE",
  "MEMORY_IN_USE",
  "LIMIT_REFUSED",
  "COMMAND_NOT_EXECUTABLE",
  "SANDBOX_FAILED",
  "LINK_BYTES_EXCEEDED",
  "TOO_MANY_TASKS",
  "UNSTARTED_BYTES_EXCEEDED",
  "HOST_EXHAUSTED",
  "TOO_MANY_STREAMS",
  "TOO_MANY_CALLS",
  "TOO_MANY_CONNECTIONS",
  "REQUEST_TOO_SLOW",
  "OFFSET_BEYOND_END",
  "LOG_GONE",
  "STOPPING",
  "HELPER_GONE",
  "CALL_CANCELLED",
  "INTERNAL",
] as const;

/** A reason that this version knows; a newer daemon may have others. */
export type ErrorReason = (typeof ERROR_REASONS)[number] | LocalReason;
