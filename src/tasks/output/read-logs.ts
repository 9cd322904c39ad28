/** What one reader of a task's output is sent, from where he begins to the end that he has asked for. */
import { TaskError } from "../errors.js";
import type { OutputStreamName, StreamOffsets } from "../ports-output.js";
import type { Task } from "../task.js";
import { Bell } from "./bell.js";
import type { LogEvent, Piece } from "./events.js";
import { withHeartbeats, type Heartbeat } from "./heartbeats.js";
import { lastLinesOffset } from "./last-lines.js";
import type { FastLanes, Lane } from "./fast-lanes.js";
import { CHUNK_BYTES, endOf } from "./read-pieces.js";
import type { SharedOutput } from "./shared-output.js";
import type { SharedOutputs } from "./shared-outputs.js";

/** Where a reader begins. Offsets are as the client gave them. */
export type LogsFrom =
  | { readonly kind: "offsets"; readonly offsets: Readonly<Record<OutputStreamName, bigint>> }
  /** With what comes next, for none. */
  | { readonly kind: "lastLines"; readonly lines: number };

export interface LogsRequest {
  /** Each once. */
  readonly streams: readonly OutputStreamName[];
  readonly from: LogsFrom;
  readonly follow: boolean;
  /** With follow: after so much silence there is a heartbeat. */
  readonly heartbeatMs: number | undefined;
}

/** Of a task, what its readers need. */
export type LoggedTask = Pick<Task, "uuid" | "finalExit" | "wait">;

/** What the log says: a heartbeat is no part of it. */
type Told = Exclude<LogEvent, Heartbeat>;

/** Ends by throwing the reason of `caller` when that fires. */
export function readLogs(
  task: LoggedTask,
  outputs: SharedOutputs,
  request: LogsRequest,
  caller: AbortSignal,
): AsyncGenerator<LogEvent, void, undefined> {
  const { follow, heartbeatMs } = request;
  return withHeartbeats(tell(task, outputs, request, caller), follow ? heartbeatMs : undefined);
}

async function* tell(
  task: LoggedTask,
  outputs: SharedOutputs,
  request: LogsRequest,
  caller: AbortSignal,
): AsyncGenerator<Told, void, undefined> {
  const output = await outputs.take(task.uuid);
  const reader = new Reader(task, output, outputs.lanes, request, caller);
  try {
    yield* reader.events();
  } finally {
    await reader.leave();
    outputs.giveBack(task.uuid);
  }
}

/** How far a reader has come in one stream. */
interface Cursor {
  readonly stream: OutputStreamName;
  at: number;
  /** Where he stops. */
  readonly limit: number;
  /** What is read before its turn. */
  ahead: Promise<readonly Piece[]> | undefined;
}

class Reader {
  private readonly bell = new Bell();
  private readonly left = new AbortController();
  private cursors: readonly Cursor[] = [];
  /** While he is far behind. */
  private lane: Lane | undefined;
  private readonly ring = (): void => this.bell.ring();

  constructor(
    private readonly task: LoggedTask,
    private readonly output: SharedOutput,
    private readonly lanes: FastLanes,
    private readonly request: LogsRequest,
    private readonly caller: AbortSignal,
  ) {}

  async *events(): AsyncGenerator<Told, void, undefined> {
    const { task, output, request, caller } = this;
    let exit = task.finalExit;
    output.look();
    const begin = await this.findBegin();
    const { follow } = request;
    this.cursors = request.streams.map((stream): Cursor => ({
      stream,
      at: begin[stream],
      limit: follow ? Infinity : output.ends[stream],
      ahead: undefined,
    }));
    if (request.from.kind === "lastLines") yield { kind: "begin", offsets: begin };
    if (follow) {
      caller.addEventListener("abort", this.ring, { once: true });
      // One that has left hears of it, too: he has no use for it.
      task.wait(this.left.signal).then(this.ring, () => undefined);
    }
    for (;;) {
      yield* this.pieces();
      if (exit !== undefined) yield { kind: "exit", exit };
      if (exit !== undefined || !follow) return;
      // Nothing is written once this is known: what is there then is all.
      exit = task.finalExit;
      if (exit === undefined) output.lookIfTold();
      else output.look();
      if (exit === undefined && !this.cursors.some((cursor) => this.hasMore(cursor))) await this.silence();
    }
  }

  /** Resolves when nothing is being read for him. */
  async leave(): Promise<void> {
    this.left.abort();
    this.caller.removeEventListener("abort", this.ring);
    this.output.leave(this.bell);
    await Promise.allSettled(this.cursors.flatMap(({ ahead }) => ahead ?? []));
    this.giveBackLane();
  }

  /** From both streams in turn, until there is no more in either. */
  private async *pieces(): AsyncGenerator<Piece, void, undefined> {
    while (this.cursors.some((cursor) => this.hasMore(cursor))) {
      for (const cursor of this.cursors) yield* this.nextOf(cursor);
    }
    this.giveBackLane();
  }

  private async *nextOf(cursor: Cursor): AsyncGenerator<Piece, void, undefined> {
    const pieces = cursor.ahead ?? this.read(cursor);
    cursor.ahead = undefined;
    if (pieces === undefined) return;
    this.caller.throwIfAborted();
    const read = (await pieces)
      .filter(({ offset }) => offset < cursor.limit)
      .map((piece) => upTo(cursor.limit, piece));
    cursor.at = Math.max(...read.map(endOf));
    if (this.lane !== undefined) cursor.ahead = this.read(cursor);
    yield* read;
  }

  /** Undefined: there is no more of it. */
  private read(cursor: Cursor): Promise<readonly Piece[]> | undefined {
    if (!this.hasMore(cursor)) return undefined;
    const isFar = Math.min(cursor.limit, this.output.ends[cursor.stream]) - cursor.at > CHUNK_BYTES;
    if (isFar) this.lane ??= this.lanes.take();
    const bytes = this.lane?.[cursor.stream].next();
    const pieces =
      bytes === undefined
        ? this.output.read(cursor.stream, cursor.at)
        : this.output.readInto(cursor.stream, cursor.at, bytes);
    // Of one that is read ahead the error is heard when its turn comes, if it does.
    pieces.catch(() => undefined);
    return pieces;
  }

  private giveBackLane(): void {
    if (this.lane !== undefined) this.lanes.giveBack(this.lane);
    this.lane = undefined;
  }

  private hasMore({ stream, at, limit }: Cursor): boolean {
    return at < Math.min(limit, this.output.ends[stream]);
  }

  /** Resolves when something may have come. */
  private async silence(): Promise<void> {
    // One that has gone before anybody listened for that rings no bell.
    this.caller.throwIfAborted();
    this.output.awaitMore(this.bell);
    await this.bell.heard();
    this.caller.throwIfAborted();
  }

  private async findBegin(): Promise<StreamOffsets> {
    const [stdout, stderr] = await Promise.all([this.beginOf("stdout"), this.beginOf("stderr")]);
    return { stdout, stderr };
  }

  private async beginOf(stream: OutputStreamName): Promise<number> {
    const { streams, from } = this.request;
    if (!streams.includes(stream)) return 0;
    const end = this.output.ends[stream];
    if (from.kind === "offsets") return checkOffset(stream, from.offsets[stream], end);
    return lastLinesOffset(this.output.files, stream, end, from.lines, () => this.caller.throwIfAborted());
  }
}

function upTo(limit: number, piece: Piece): Piece {
  const most = limit - piece.offset;
  if (piece.kind === "gap") return piece.size <= most ? piece : { ...piece, size: most };
  return piece.data.length <= most ? piece : { ...piece, data: piece.data.subarray(0, most) };
}

function checkOffset(stream: OutputStreamName, offset: bigint, end: number): number {
  if (offset <= BigInt(end)) return Number(offset);
  throw new TaskError({
    reason: "OFFSET_BEYOND_END",
    field: `offsets.${stream}`,
    message: `offsets.${stream} is ${offset}, and the task has written ${end} bytes`,
    metadata: { end: String(end) },
  });
}
