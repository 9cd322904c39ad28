/** What orchestrators use: a client of the daemon, its messages and its errors. */
export { StockadeClient } from "./client.js";
export { connect } from "./connect.js";
export type { ConnectOptions, TlsOptions } from "./connection.js";
export type { ConfigureFields } from "./configure-fields.js";
export { StockadeError } from "./error.js";
export type { ListFields } from "./list-fields.js";
export type { TimeSpan } from "./durations.js";
export type { ByteSize, Limits } from "./limits.js";
export type {
  LogEvent,
  LogsOptions,
  OutputEvent,
  OutputOptions,
  OutputOffsets,
  OutputStreamName,
} from "./logs.js";
export { OutputLostError } from "./output-bytes.js";
export { ERROR_REASONS, LOCAL_REASONS, type ErrorReason, type LocalReason } from "./reasons.js";
export {
  describeEnd,
  TaskFailedError,
  toTaskEnd,
  type TaskEnd,
  type TaskEndReason,
  type TaskResult,
  type TaskUsage,
} from "./result.js";
export type { AttachOptions } from "./run.js";
export type {
  Command,
  FollowOptions,
  HoldOptions,
  MountOption,
  RunOptions,
  TaskOptions,
} from "./run-options.js";
export { RunningTask, type TaskStarted } from "./running-task.js";
export type { StopOptions } from "./task-events.js";
export type { CallSettings, RepeatableCallSettings, WaitSettings } from "./unary-call.js";
export type { FileContent, TaskFile } from "./task-files.js";
export type { MapFields, MapOf } from "./map-fields.js";
export type { Duration } from "../gen/google/protobuf/duration.js";
export type { Timestamp } from "../gen/google/protobuf/timestamp.js";
export * from "../gen/executor/v1/executor.js";
