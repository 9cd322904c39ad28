/** The whole life of a task in one call: it is made, limited, started, its output told, and at last its exit. */
import type { Caller } from "./access/identity.js";
import type { Collection } from "./collect.js";
import { Holders } from "./concurrency/holders.js";
import { withinField } from "./errors.js";
import type { Executor } from "./executor.js";
import type { LogEvent, Piece } from "./output/events.js";
import { withHeartbeats } from "./output/heartbeats.js";
import { OUTPUT_STREAMS, type OutputStreamName } from "./ports-output.js";
import type { LimitAnswer, Limits } from "./limits.js";
import type { FileSpec } from "./ports.js";
import type { CollectPath } from "./request/collect-paths.js";
import type { ConfigureInput } from "./request/spec.js";
import type { Task } from "./task.js";
import type { Unenforced } from "./unenforced.js";

export interface RunRequest {
  readonly configure: ConfigureInput;
  /** Undefined: none are set. */
  readonly limits: Limits | undefined;
  readonly files: readonly FileSpec[];
  /** Undefined: /dev/null. */
  readonly stdin: Uint8Array | undefined;
  readonly collect: readonly CollectPath[];
  /** How much output is told of both streams together, in bytes; undefined: all of it. */
  readonly outputMaxBytes: bigint | undefined;
  /** Whether the task goes on when its caller has gone. */
  readonly detach: boolean;
  /** After so much silence there is a heartbeat. */
  readonly heartbeatMs: number | undefined;
}

export interface RunStarted {
  readonly kind: "started";
  readonly id: string;
  /** Of the main process, as seen on the host. */
  readonly pid: number;
  readonly unenforced: readonly Unenforced[];
  /** What is in force, read back from the kernel; without limits that were asked for, none. */
  readonly effective: Limits;
}

/** A file that was asked for; its content follows, unless there is an error, which is an errno's name. */
export type FileEvent =
  | {
      readonly kind: "file";
      readonly path: string;
      readonly sizeBytes: bigint;
      readonly mode: number;
      readonly error: string | undefined;
    }
  | { readonly kind: "fileData"; readonly data: Buffer };

export type RunEvent = RunStarted | FileEvent | Exclude<LogEvent, { readonly kind: "begin" }>;

type Chunk = Extract<Piece, { readonly kind: "chunk" }>;
type Gap = Extract<Piece, { readonly kind: "gap" }>;

/** What it needs of the executor. */
type Calls = Pick<Executor, "configure" | "get" | "logs" | "collect" | "delete" | "isStopping">;

const ALL_OUTPUT = {
  streams: OUTPUT_STREAMS,
  from: { kind: "offsets", offsets: { stdout: 0n, stderr: 0n } },
  follow: true,
  // What is not told of it breaks no silence: they are of the whole stream.
  heartbeatMs: undefined,
} as const;

/** The streams of each task: one more for each repetition of its request. */
const streams = new Holders<Task>();

/**
 * Ends by throwing the reason of `caller` when that fires: without `detach` the last stream of a task has killed it
 * then, but not where it is the daemon that stops.
 */
export function run(
  executor: Calls,
  request: RunRequest,
  caller: AbortSignal,
  by: Caller,
): AsyncGenerator<RunEvent, void, undefined> {
  return withHeartbeats(runTask(executor, request, caller, by), request.heartbeatMs);
}

async function* runTask(
  executor: Calls,
  request: RunRequest,
  caller: AbortSignal,
  by: Caller,
): AsyncGenerator<RunEvent, void, undefined> {
  const nameHeld = (made: Task): Promise<void> => streams.free(made);
  const { configure, files, stdin, ...rest } = request;
  const { id, unenforced } = await executor
    .configure(configure, caller, by, { files, stdin, nameHeld, rest })
    .catch((error: unknown) => Promise.reject(withinField("configure", error) as Error));
  const task = executor.get(id, by);
  const letGo = streams.hold(task);
  let goesOn = false;
  try {
    const started = await start(task, request, unenforced).catch(async (error: unknown) => {
      if (!executor.isStopping) await takeBack(executor, task, by);
      throw error;
    });
    goesOn = request.detach;
    yield started;
    const logs = executor.logs(id, ALL_OUTPUT, caller, by);
    for await (const event of new Output(request).of(logs)) {
      if (event.kind === "exit") yield* filesOf(executor, task, request.collect);
      yield event;
    }
    goesOn = true;
  } finally {
    if (letGo() && !goesOn && !executor.isStopping) void task.kill("force_stop");
  }
}

/** Of a task that has not run, and whose id nobody was told, nothing stays: the same request is a new one then. */
async function takeBack(executor: Calls, task: Task, by: Caller): Promise<void> {
  await task.kill(task.state === "configured" ? "never_started" : "force_stop");
  if (task.finalExit?.reason !== "NEVER_STARTED") return;
  // Whoever has joined the start does the same.
  await executor.delete(task.id, by).catch(() => undefined);
}

async function* filesOf(
  executor: Calls,
  task: Task,
  wanted: readonly CollectPath[],
): AsyncGenerator<FileEvent, void, undefined> {
  for (const one of wanted) yield* executor.collect(task, one, (collection) => eventsOf(one, collection));
}

async function* eventsOf(
  { path }: CollectPath,
  collection: Collection,
): AsyncGenerator<FileEvent, void, undefined> {
  if (collection.kind === "failed") {
    yield { kind: "file", path, sizeBytes: 0n, mode: 0, error: collection.errno };
    return;
  }
  const { sizeBytes, mode } = collection.file;
  yield { kind: "file", path, sizeBytes, mode, error: undefined };
  for await (const data of collection.content) yield { kind: "fileData", data };
}

/** What of the start was not known before it. */
type Begun = LimitAnswer & Pick<RunStarted, "pid">;

const NOT_LIMITED: LimitAnswer = { effective: {}, unenforced: [] };

/** The starts under way: whoever repeats the request meanwhile joins that of its task, and has its answer. */
const starts = new WeakMap<Task, Promise<Begun>>();

async function start(
  task: Task,
  request: RunRequest,
  unenforced: readonly Unenforced[],
): Promise<RunStarted> {
  const begun = await (starts.get(task) ??
    (task.state === "configured" ? begin(task, request) : begunBefore(task, request)));
  return { kind: "started", id: task.id, ...begun, unenforced: [...unenforced, ...begun.unenforced] };
}

function begin(task: Task, request: RunRequest): Promise<Begun> {
  const underWay = limitAndStart(task, request).finally(() => starts.delete(task));
  starts.set(task, underWay);
  return underWay;
}

async function limitAndStart(task: Task, { configure, limits }: RunRequest): Promise<Begun> {
  const limited =
    limits === undefined ? NOT_LIMITED : await task.limitForRequest(limits, configure.allowUnenforced);
  return { ...limited, pid: await task.start() };
}

/** What an earlier request was answered, of which this one is the repetition. */
function begunBefore({ record }: Task, { limits }: RunRequest): Begun {
  // A daemon that had no place on record for the answer had one for what was asked for.
  const limited =
    limits === undefined
      ? NOT_LIMITED
      : (record.request?.limited ?? { ...NOT_LIMITED, effective: record.limits });
  return { ...limited, pid: record.processes?.commandPid ?? 0 };
}

/** All output in both streams, of which as much is told as the cap allows, and the exit. */
class Output {
  /** Offsets of the ends of what the task has written, and of what has been told of it. */
  private readonly ends: Record<OutputStreamName, number> = { stdout: 0, stderr: 0 };
  private readonly told: Record<OutputStreamName, number> = { stdout: 0, stderr: 0 };
  private left: number;

  constructor({ outputMaxBytes }: RunRequest) {
    this.left = Number(outputMaxBytes ?? Infinity);
  }

  async *of(events: AsyncIterable<LogEvent>): AsyncGenerator<RunEvent, void, undefined> {
    for await (const event of events) {
      switch (event.kind) {
        case "begin":
        case "heartbeat":
          break;
        case "gap":
          yield* this.gap(event);
          break;
        case "chunk":
          yield* this.chunk(event);
          break;
        case "exit":
          yield* this.untold();
          yield event;
      }
    }
  }

  private *gap(gap: Gap): Generator<RunEvent> {
    const { stream, offset, size } = gap;
    this.ends[stream] = offset + size;
    if (this.told[stream] !== offset) return;
    this.told[stream] = offset + size;
    yield gap;
  }

  private *chunk(chunk: Chunk): Generator<RunEvent> {
    const { stream, offset } = chunk;
    this.ends[stream] = offset + chunk.data.length;
    if (this.told[stream] !== offset || this.left === 0) return;
    const data = chunk.data.subarray(0, this.left);
    this.told[stream] += data.length;
    this.left -= data.length;
    yield { ...chunk, data };
  }

  private *untold(): Generator<RunEvent> {
    for (const stream of OUTPUT_STREAMS) {
      const offset = this.told[stream];
      const size = this.ends[stream] - offset;
      if (size > 0) yield { kind: "gap", stream, offset, size };
    }
  }
}
