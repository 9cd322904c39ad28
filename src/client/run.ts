/** How tasks come into a program's hands. */
import { parseTimeSpan } from "./durations.js";
import { parseByteSize, type ByteSize } from "./limits.js";
import type { OutputOffsets } from "./logs.js";
import {
  keepsOnDisconnect,
  toRunRequest,
  type Command,
  type FollowOptions,
  type RunOptions,
} from "./run-options.js";
import { RunningTask } from "./running-task.js";
import { followTask, runTask as hearRun, type TaskCalls } from "./task-events.js";

export interface AttachOptions extends FollowOptions {
  /** Where to begin in each stream: what a program has that read it before. Default: with the first byte. */
  readonly from?: OutputOffsets | undefined;
  /** Lets go of the task when it fires. */
  readonly signal?: AbortSignal | undefined;
}

const MAX_BUFFER: ByteSize = "16m";

/** Throws a TypeError for options that cannot be. */
export function runTask(calls: TaskCalls, command: Command, options: RunOptions): RunningTask {
  const request = toRunRequest(command, options);
  const { maxBuffer, reject, heartbeatMs } = toFollow(options);
  return new RunningTask({
    calls,
    listen: (signal) => hearRun(calls, request, heartbeatMs, signal),
    maxBuffer,
    reject,
    signal: options.signal,
    onSignal: "end",
    onDispose: options.detach === true ? "leave" : "end",
    endsUnheard: !keepsOnDisconnect(options),
  });
}

/** Throws a TypeError for options that cannot be. */
export function attachTo(calls: TaskCalls, id: string, options: AttachOptions): RunningTask {
  const { maxBuffer, reject, heartbeatMs } = toFollow(options);
  const { from = {} } = options;
  return new RunningTask({
    calls,
    listen: (signal) => followTask(calls, id, { from: { offsets: from }, heartbeatMs, signal }),
    id,
    maxBuffer,
    reject,
    signal: options.signal,
    onSignal: "leave",
    onDispose: "leave",
    endsUnheard: false,
  });
}

interface Follow {
  readonly maxBuffer: number;
  readonly reject: boolean;
  readonly heartbeatMs: number;
}

function toFollow({ maxBuffer = MAX_BUFFER, reject = true, heartbeat = "15s" }: FollowOptions): Follow {
  return {
    maxBuffer: Number(parseByteSize(maxBuffer, "maxBuffer")),
    reject,
    heartbeatMs: parseTimeSpan(heartbeat, "heartbeat"),
  };
}
