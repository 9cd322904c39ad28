/** A task's output as an async iterable, once or for as long as it takes. */
import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";

import { type LogsRequest, type LogsResponse, OutputStream, type Exit } from "../gen/executor/v1/executor.js";
import { toDuration } from "./durations.js";
import { StockadeError } from "./error.js";
import { Attempts } from "./retry.js";

export type OutputStreamName = "stdout" | "stderr";

/** In bytes from the first that the task has written to a stream; absent: 0. */
export type OutputOffsets = Readonly<Partial<Record<OutputStreamName, bigint>>>;

/** Which part of a task's output is wanted. */
export interface LogsOptions {
  /** Default: both. */
  readonly streams?: readonly OutputStreamName[];
  /** Default: from the first byte. "end": what is written from now on. */
  readonly from?: "end" | { readonly lastLines: number } | { readonly offsets: OutputOffsets };
  /** Goes on until the task has ended. Default: false. */
  readonly follow?: boolean;
  /** With follow: after so much silence a message that nobody is shown keeps the connection in use; 1,000 to 86,400,000 ms. */
  readonly heartbeatMs?: number;
  /** Ends it with CANCELLED. */
  readonly signal?: AbortSignal;
}

/** Of output that goes on where it is cut off. */
export interface OutputOptions extends LogsOptions {
  /**
   * How long it is tried to go on, in milliseconds, after connection or daemon have gone. Default: for as long as it takes;
   * before it was ever connected: the client's.
   */
  readonly retryMs?: number;
}

/** What a task has written, or that so many bytes of it are lost. */
export type OutputEvent =
  | {
      readonly kind: "chunk";
      readonly stream: OutputStreamName;
      readonly offset: bigint;
      readonly data: Uint8Array;
    }
  | {
      readonly kind: "gap";
      readonly stream: OutputStreamName;
      readonly offset: bigint;
      readonly sizeBytes: bigint;
    };

/** Output; `exit` is the last, if the task has ended. `begin` comes first where `from` names no offsets. */
export type LogEvent =
  | OutputEvent
  | { readonly kind: "begin"; readonly offsets: Readonly<Record<OutputStreamName, bigint>> }
  | { readonly kind: "exit"; readonly exit: Exit };

/** Begins one call. */
export type OpenLogs = (request: LogsRequest) => ClientReadableStream<LogsResponse>;

/** One call: throws a StockadeError where it fails or is cut off. To leave the loop cancels the call. */
export async function* readLogs(
  open: OpenLogs,
  id: string,
  options: LogsOptions = {},
): AsyncGenerator<LogEvent, void, undefined> {
  const { signal } = options;
  const call = open(toLogsRequest(id, options));
  const cancel = (): void => call.cancel();
  // One that has been cancelled ends with an error that nobody waits for.
  call.on("error", () => undefined);
  if (signal?.aborted === true) cancel();
  else signal?.addEventListener("abort", cancel, { once: true });
  try {
    for await (const response of call as AsyncIterable<LogsResponse>) {
      const event = toLogEvent(response);
      if (event !== undefined) yield event;
    }
  } catch (error) {
    throw isServiceError(error) ? new StockadeError(error) : error;
  } finally {
    signal?.removeEventListener("abort", cancel);
    cancel();
  }
}

/**
 * As many calls as it takes: one that is cut off, because the connection or the daemon has gone, is made again with the
 * next offsets, so that nothing is missing and nothing comes twice. Throws a StockadeError for everything else.
 *
 * @param clientRetryMs how long that goes on before it was ever connected, in milliseconds, unless the options say
 */
export async function* readLogsThrough(
  open: OpenLogs,
  id: string,
  { retryMs, ...options }: OutputOptions,
  clientRetryMs: number,
): AsyncGenerator<LogEvent, void, undefined> {
  const next = new NextFrom(options.from);
  const attempts = new Attempts({
    retryMs: retryMs ?? Infinity,
    firstRetryMs: retryMs ?? clientRetryMs,
    signal: options.signal,
  });
  for (;;) {
    try {
      for await (const event of readLogs(open, id, { ...options, ...next.options })) {
        attempts.progress();
        next.note(event);
        yield event;
      }
      return;
    } catch (error) {
      await attempts.next(error);
    }
  }
}

/** Where a reader begins who is cut off now. */
class NextFrom {
  /** Undefined: not known before the daemon has said where it begins. */
  private next: Record<OutputStreamName, bigint> | undefined;

  constructor(private readonly asked: LogsOptions["from"]) {
    if (asked === undefined) this.next = { stdout: 0n, stderr: 0n };
    else if (asked !== "end" && "offsets" in asked) this.next = { stdout: 0n, stderr: 0n, ...asked.offsets };
  }

  get options(): Pick<LogsOptions, "from"> {
    if (this.next !== undefined) return { from: { offsets: { ...this.next } } };
    return this.asked === undefined ? {} : { from: this.asked };
  }

  note(event: LogEvent): void {
    if (event.kind === "begin") this.next = { ...event.offsets };
    if (this.next === undefined) return;
    if (event.kind === "chunk") this.next[event.stream] = event.offset + BigInt(event.data.length);
    if (event.kind === "gap") this.next[event.stream] = event.offset + event.sizeBytes;
  }
}

/** Whether it is what a call of grpc-js ends with. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

const STREAMS = {
  stdout: OutputStream.OUTPUT_STREAM_STDOUT,
  stderr: OutputStream.OUTPUT_STREAM_STDERR,
} as const satisfies Record<OutputStreamName, OutputStream>;

function toLogsRequest(id: string, options: LogsOptions): LogsRequest {
  const { streams = [], from, follow = false, heartbeatMs } = options;
  return {
    id,
    streams: streams.map((stream) => STREAMS[stream]),
    from: toFrom(from),
    follow,
    heartbeatInterval: heartbeatMs === undefined ? undefined : toDuration(heartbeatMs),
  };
}

function toFrom(from: LogsOptions["from"]): LogsRequest["from"] {
  if (from === undefined) return undefined;
  if (from === "end") return { $case: "end", value: true };
  if ("lastLines" in from) return { $case: "lastLines", value: from.lastLines };
  return { $case: "offsets", value: { stdout: 0n, stderr: 0n, ...from.offsets } };
}

/** Undefined: a heartbeat, or what a newer daemon says. */
function toLogEvent({ event }: LogsResponse): LogEvent | undefined {
  switch (event?.$case) {
    case "chunk": {
      const { stream, offset, data } = event.value;
      return { kind: "chunk", stream: nameOf(stream), offset, data };
    }
    case "gap": {
      const { stream, offset, sizeBytes } = event.value;
      return { kind: "gap", stream: nameOf(stream), offset, sizeBytes };
    }
    case "begin":
      return { kind: "begin", offsets: { stdout: 0n, stderr: 0n, ...event.value.offsets } };
    case "exit":
      return { kind: "exit", exit: event.value };
    case "heartbeat":
    case undefined:
      return undefined;
  }
}

/** The name of a stream of a message. */
export function nameOf(stream: OutputStream): OutputStreamName {
  return stream === OutputStream.OUTPUT_STREAM_STDERR ? "stderr" : "stdout";
}
