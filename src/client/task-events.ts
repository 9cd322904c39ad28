/** All that is heard of a task, from its start to its exit, over lost connections and restarts of the daemon. */
import type { ClientReadableStream } from "@grpc/grpc-js";

import type { Exit, RunRequest, RunResponse, RunStarted } from "../gen/executor/v1/executor.js";
import { localError, StockadeError } from "./error.js";
import {
  isServiceError,
  nameOf,
  type LogEvent,
  type OutputEvent,
  type OutputOptions,
  type OutputStreamName,
} from "./logs.js";
import { isCutOff, retried } from "./retry.js";
import { ReceivedFiles, type TaskFile } from "./task-files.js";

/** What is heard of a task; the exit is the last, with the files that were asked for. */
export type TaskEvent =
  | { readonly kind: "started"; readonly started: RunStarted }
  | OutputEvent
  | { readonly kind: "exit"; readonly exit: Exit; readonly files: readonly TaskFile[] };

/** What of a client a task is followed by. */
export interface TaskCalls {
  /** How long a call that can be repeated is, in milliseconds. */
  readonly retryMs: number;
  openRun(request: RunRequest): ClientReadableStream<RunResponse>;
  /** Over lost connections. */
  output(id: string, options: OutputOptions): AsyncIterable<LogEvent>;
  /** The same. */
  wait(id: string, signal: AbortSignal): Promise<Exit>;
  /** Whether the task is on record. */
  has(id: string, signal: AbortSignal): Promise<boolean>;
  /** Over lost connections, for a while. */
  forceStop(id: string, signal?: AbortSignal): Promise<void>;
  stop(id: string, options: StopOptions, signal?: AbortSignal): Promise<void>;
}

export interface StopOptions {
  /** "SIGTERM", "TERM" or "15". Default: SIGTERM. */
  readonly signal?: string | undefined;
  /** How long the task has before it is killed: milliseconds or "10s", at most 24 h. Default: 10 s. */
  readonly grace?: number | string | undefined;
}

/**
 * Runs a task. Until it has started the request is made again where it is cut off: by its request_id it is the same task.
 * From then on Logs goes on where Run was cut off.
 */
export async function* runTask(
  calls: TaskCalls,
  request: RunRequest,
  heartbeatMs: number,
  signal: AbortSignal,
): AsyncGenerator<TaskEvent, void, undefined> {
  const heard = new Heard();
  const attempt = (): Promise<AsyncIterable<TaskEvent>> =>
    begun(oneRun(calls.openRun(request), heard, signal));
  try {
    yield* await retried(attempt, { retryMs: calls.retryMs, signal });
    return;
  } catch (error) {
    if (heard.id === undefined || signal.aborted || !isCutOff(error)) throw error;
  }
  const { id, offsets } = heard;
  const rest = followTask(calls, id, { from: { offsets }, heartbeatMs, retryMs: Infinity, signal });
  for await (const event of rest) {
    if (event.kind !== "exit" || request.collect.length === 0) yield event;
    else yield { ...event, files: await filesOf(calls, request, id, signal) };
  }
}

/** Follows a task that is there. */
export async function* followTask(
  calls: TaskCalls,
  id: string,
  options: OutputOptions & { readonly signal: AbortSignal },
): AsyncGenerator<TaskEvent, void, undefined> {
  try {
    for await (const event of calls.output(id, { ...options, follow: true })) {
      if (event.kind === "exit") yield { ...event, files: [] };
      else if (event.kind !== "begin") yield event;
    }
    return;
  } catch (error) {
    if (!(error instanceof StockadeError && error.reason === "LOG_GONE")) throw error;
  }
  // Somebody has removed the log; how the task ends is known without it.
  yield { kind: "exit", exit: await calls.wait(id, options.signal), files: [] };
}

/**
 * The files of a task that has ended, by its request once more: that names the task, which does not run a second time, and
 * its output comes again. But where its record has gone it would run, so that is looked for before.
 */
async function filesOf(
  calls: TaskCalls,
  request: RunRequest,
  id: string,
  signal: AbortSignal,
): Promise<readonly TaskFile[]> {
  const attempt = async (): Promise<readonly TaskFile[]> => {
    if (!(await calls.has(id, signal))) return request.collect.map(({ path }) => ({ path, error: "ESTALE" }));
    const heard = new Heard();
    for await (const event of oneRun(calls.openRun(request), heard, signal)) {
      if (heard.id !== id) break;
      if (event.kind === "exit") return event.files;
    }
    // Another one after all: its record went between the two calls.
    if (heard.id !== undefined && heard.id !== id) await calls.forceStop(heard.id);
    throw localError("INTERNAL", "the daemon ended the stream without an exit");
  };
  return retried(attempt, { retryMs: Infinity, signal });
}

/** Resolves when the first event has come; that is the first of what is answered, too. */
async function begun(events: AsyncGenerator<TaskEvent>): Promise<AsyncIterable<TaskEvent>> {
  const first = await events.next();
  return (async function* () {
    try {
      if (first.done !== true) yield first.value;
      yield* events;
    } finally {
      await events.return(undefined);
    }
  })();
}

/** What has been heard of a task so far. */
class Heard {
  id: string | undefined;
  readonly offsets: Record<OutputStreamName, bigint> = { stdout: 0n, stderr: 0n };
  readonly files = new ReceivedFiles();
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

/** Undefined: what is told with the exit, a heartbeat, or what a newer daemon says. */
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
      return { kind: "exit", exit: event.value, files: heard.files.all() };
    case "file":
      heard.files.begin(event.value);
      return undefined;
    case "fileData":
      heard.files.append(event.value);
      return undefined;
    case "heartbeat":
    case undefined:
      return undefined;
  }
}
