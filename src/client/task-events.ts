/** All that is heard of a task, from its start to its exit, over lost connections and restarts of the daemon. */
import type { ClientReadableStream } from "@grpc/grpc-js";

import type { Exit, RunRequest, RunResponse, RunStarted } from "../gen/executor/v1/executor.js";
import { StockadeError } from "./error.js";
import {
  isServiceError,
  nameOf,
  type LogEvent,
  type LogsOptions,
  type OutputEvent,
  type OutputStreamName,
} from "./logs.js";
import { isCutOff } from "./retry.js";

/** What is heard of a task; the exit is the last. */
export type TaskEvent =
  | { readonly kind: "started"; readonly started: RunStarted }
  | OutputEvent
  | { readonly kind: "exit"; readonly exit: Exit };

/** What of a client a task is followed by. */
export interface TaskCalls {
  openRun(request: RunRequest): ClientReadableStream<RunResponse>;
  /** Over lost connections. */
  output(id: string, options: LogsOptions): AsyncIterable<LogEvent>;
  /** The same. */
  wait(id: string, signal: AbortSignal): Promise<Exit>;
  /** The same, for a while. */
  forceStop(id: string): Promise<void>;
  stop(id: string, options: StopOptions): Promise<void>;
}

export interface StopOptions {
  /** "SIGTERM", "TERM" or "15". Default: SIGTERM. */
  readonly signal?: string | undefined;
  /** How long the task has before it is killed: milliseconds or "10s", at most 24 h. Default: 10 s. */
  readonly grace?: number | string | undefined;
}

/**
 * Runs a task. What fails before it has started throws: nobody could tell whether a second attempt would be a second
 * task. From then on Logs goes on where Run was cut off.
 */
export async function* runTask(
  calls: TaskCalls,
  request: RunRequest,
  heartbeatMs: number,
  signal: AbortSignal,
): AsyncGenerator<TaskEvent, void, undefined> {
  const heard = new Heard();
  try {
    for await (const event of oneRun(calls.openRun(request), heard, signal)) yield event;
    return;
  } catch (error) {
    if (heard.id === undefined || signal.aborted || !isCutOff(error)) throw error;
  }
  yield* followTask(calls, heard.id, { from: { offsets: heard.offsets }, heartbeatMs, signal });
}

/** Follows a task that is there. */
export async function* followTask(
  calls: TaskCalls,
  id: string,
  options: LogsOptions & { readonly signal: AbortSignal },
): AsyncGenerator<TaskEvent, void, undefined> {
  try {
    for await (const event of calls.output(id, { ...options, follow: true })) {
      if (event.kind !== "begin") yield event;
    }
    return;
  } catch (error) {
    if (!(error instanceof StockadeError && error.reason === "LOG_GONE")) throw error;
  }
  // Somebody has removed the log; how the task ends is known without it.
  yield { kind: "exit", exit: await calls.wait(id, options.signal) };
}

/** What has been heard of a task so far. */
class Heard {
  id: string | undefined;
  readonly offsets: Record<OutputStreamName, bigint> = { stdout: 0n, stderr: 0n };
}

async function* oneRun(
  call: ClientReadableStream<RunResponse>,
  heard: Heard,
  signal: AbortSignal,
): AsyncGenerator<TaskEvent, void, undefined> {
  const cancel = (): void => call.cancel();
  // One that has been cancelled ends with an error that nobody waits for.
  call.on("error", () => undefined);
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel, { once: true });
  try {
    for await (const response of call as AsyncIterable<RunResponse>) {
      const event = toTaskEvent(response, heard);
      if (event !== undefined) yield event;
    }
  } catch (error) {
    throw isServiceError(error) ? new StockadeError(error) : error;
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

/** Undefined: a heartbeat, a file, which nobody has asked for, or what a newer daemon says. */
function toTaskEvent({ event }: RunResponse, heard: Heard): TaskEvent | undefined {
  switch (event?.$case) {
    case "started":
      heard.id = event.value.id;
      return { kind: "started", started: event.value };
    case "stdout":
    case "stderr": {
      const { $case: stream, value: data } = event;
      const offset = heard.offsets[stream];
      heard.offsets[stream] += BigInt(data.length);
      return { kind: "chunk", stream, offset, data };
    }
    case "gap": {
      const { offset, sizeBytes } = event.value;
      const stream = nameOf(event.value.stream);
      heard.offsets[stream] = offset + sizeBytes;
      return { kind: "gap", stream, offset, sizeBytes };
    }
    case "exit":
      return { kind: "exit", exit: event.value };
    case "file":
    case "fileData":
    case "heartbeat":
    case undefined:
      return undefined;
  }
}
