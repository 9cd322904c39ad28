/** Between the messages of Logs and the types of `src/tasks/output`. Total in both directions. */
import {
  type LogGap,
  type LogsRequest,
  type LogsResponse,
  OutputStream,
} from "../gen/executor/v1/executor.js";
import { invalidField } from "../tasks/errors.js";
import type { LogEvent, Piece } from "../tasks/output/events.js";
import type * as Output from "../tasks/output/read-logs.js";
import { durationNs, wholeMs } from "../tasks/request/duration.js";
import { OUTPUT_STREAMS, type OutputStreamName } from "../tasks/ports-output.js";
import { fromExit } from "./convert.js";

/** Ours: there are fewer. */
export const STREAMS_MAX = 16;

const HEARTBEAT_MIN_NS = 1_000_000_000n;
const HEARTBEAT_MAX_NS = 24n * 60n * 60n * HEARTBEAT_MIN_NS;

/** Throws INVALID_ARGUMENT. */
export function toLogsRequest(request: LogsRequest): Output.LogsRequest {
  if (request.streams.length > STREAMS_MAX) {
    throw invalidField("streams", `streams are more than ${STREAMS_MAX}`);
  }
  const asked = request.streams.map((stream, index) => streamName(stream, `streams[${index}]`));
  return {
    streams: asked.length === 0 ? OUTPUT_STREAMS : [...new Set(asked)],
    from: toFrom(request.from),
    follow: request.follow,
    heartbeatMs: toHeartbeatMs(request.heartbeatInterval),
  };
}

function streamName(stream: OutputStream, field: string): OutputStreamName {
  switch (stream) {
    case OutputStream.OUTPUT_STREAM_STDOUT:
      return "stdout";
    case OutputStream.OUTPUT_STREAM_STDERR:
      return "stderr";
    case OutputStream.OUTPUT_STREAM_UNSPECIFIED:
    case OutputStream.UNRECOGNIZED:
    default:
      throw invalidField(field, `${field} is neither OUTPUT_STREAM_STDOUT nor OUTPUT_STREAM_STDERR`);
  }
}

function toFrom(from: LogsRequest["from"]): Output.LogsFrom {
  switch (from?.$case) {
    case undefined:
      return { kind: "offsets", offsets: { stdout: 0n, stderr: 0n } };
    case "offsets":
      return { kind: "offsets", offsets: from.value };
    case "end":
      if (!from.value) throw invalidField("end", "end is false: to begin with the first byte, leave it out");
      return { kind: "lastLines", lines: 0 };
    case "lastLines":
      return { kind: "lastLines", lines: from.value };
  }
}

export function toHeartbeatMs(interval: LogsRequest["heartbeatInterval"]): number | undefined {
  if (interval === undefined) return undefined;
  const ns = durationNs(interval);
  if (ns === undefined || ns < HEARTBEAT_MIN_NS || ns > HEARTBEAT_MAX_NS) {
    throw invalidField("heartbeat_interval", "heartbeat_interval must be 1 s to 24 h");
  }
  return wholeMs(ns);
}

export function fromLogEvent(event: LogEvent): LogsResponse {
  return { event: fromEvent(event) };
}

const STREAMS = {
  stdout: OutputStream.OUTPUT_STREAM_STDOUT,
  stderr: OutputStream.OUTPUT_STREAM_STDERR,
} as const satisfies Record<OutputStreamName, OutputStream>;

function fromEvent(event: LogEvent): LogsResponse["event"] {
  switch (event.kind) {
    case "chunk": {
      const { stream, offset, data } = event;
      return { $case: "chunk", value: { stream: STREAMS[stream], offset: BigInt(offset), data } };
    }
    case "gap":
      return { $case: "gap", value: fromGap(event) };
    case "begin": {
      const { stdout, stderr } = event.offsets;
      return { $case: "begin", value: { offsets: { stdout: BigInt(stdout), stderr: BigInt(stderr) } } };
    }
    case "heartbeat":
      return { $case: "heartbeat", value: {} };
    case "exit":
      return { $case: "exit", value: fromExit(event.exit) };
  }
}

export function fromGap({ stream, offset, size }: Extract<Piece, { readonly kind: "gap" }>): LogGap {
  return { stream: STREAMS[stream], offset: BigInt(offset), sizeBytes: BigInt(size) };
}
