/** The calls as promises, and tasks as things that one has in hand. */
import type { Metadata } from "@grpc/grpc-js";

import {
  DeleteRequest,
  ExecutorServiceClient,
  ForceStopRequest,
  GetRequest,
  GetServerInfoRequest,
  LimitRequest,
  OpenRequest,
  ShutdownRequest,
  StartRequest,
  WaitRequest,
  type ConfigureResponse,
  type DeleteResponse,
  type ForceStopResponse,
  type GetResponse,
  type GetServerInfoResponse,
  type LimitResponse,
  type ListResponse,
  type OpenResponse,
  type ShutdownResponse,
  type StartResponse,
  type Task,
  type WaitResponse,
} from "../gen/executor/v1/executor.js";
import { toConfigureRequest, type ConfigureFields } from "./configure-fields.js";
import { abortable } from "./abortable.js";
import { channelParts, type ConnectOptions } from "./connection.js";
import { parseTimeSpan, toDuration } from "./durations.js";
import { localError, StockadeError } from "./error.js";
import { toListRequest, type ListFields } from "./list-fields.js";
import {
  readLogs,
  readLogsThrough,
  type LogEvent,
  type LogsOptions,
  type OpenLogs,
  type OutputOptions,
} from "./logs.js";
import { attachTo, runTask, type AttachOptions } from "./run.js";
import type { Command, RunOptions } from "./run-options.js";
import type { RunningTask } from "./running-task.js";
import type { StopOptions, TaskCalls } from "./task-events.js";
import {
  call,
  repeat,
  type CallSettings,
  type RepeatableCallSettings,
  type UnaryCall,
  type WaitSettings,
} from "./unary-call.js";

/** How long one look at the connection may take, in milliseconds. */
const READY_WAIT_MS = 250;

/** How long a daemon that has gone is waited for to tell it that a task is to end, in milliseconds. */
const STOP_RETRY_MS = 30_000;

/**
 * A connection to one daemon. Every call rejects with a StockadeError.
 * Close it when done: it keeps the process alive.
 */
export class StockadeClient implements Disposable {
  private readonly rpc: ExecutorServiceClient;
  private readonly metadata: () => Metadata;
  private readonly retryMs: number;
  private closed = false;

  /** @param to an address alone: "unix:<path>", or "<host>:<port>" on loopback, without encryption */
  constructor(to: string | ConnectOptions) {
    const options = typeof to === "string" ? { address: to } : to;
    const parts = channelParts(options);
    this.retryMs = options.retryMs ?? 0;
    this.rpc = new ExecutorServiceClient(parts.address, parts.credentials, parts.options);
    this.metadata = parts.metadata;
  }

  /** Can be repeated where it has a `requestId`. */
  configure(request: ConfigureFields, settings?: RepeatableCallSettings): Promise<ConfigureResponse> {
    const { requestId = "" } = request;
    const make = requestId === "" ? this.call.bind(this) : this.repeat.bind(this);
    return make(this.rpc.configure.bind(this.rpc), toConfigureRequest(request), settings);
  }

  limit(request: Partial<LimitRequest>, settings?: CallSettings): Promise<LimitResponse> {
    return this.call(this.rpc.limit.bind(this.rpc), LimitRequest.fromPartial(request), settings);
  }

  start(id: string, settings?: CallSettings): Promise<StartResponse> {
    return this.call(this.rpc.start.bind(this.rpc), StartRequest.fromPartial({ id }), settings);
  }

  wait(id: string, settings?: RepeatableCallSettings): Promise<WaitResponse> {
    return this.repeat(this.rpc.wait.bind(this.rpc), WaitRequest.fromPartial({ id }), settings);
  }

  shutdown(request: Partial<ShutdownRequest>, settings?: CallSettings): Promise<ShutdownResponse> {
    const whole = ShutdownRequest.fromPartial(request);
    return this.call(this.rpc.shutdown.bind(this.rpc), whole, settings);
  }

  /** Shutdown in the units of people; resolves too where the task has ended before. Throws a TypeError for a `grace` that cannot be. */
  async stop(
    id: string,
    { signal = "", grace }: StopOptions = {},
    settings: CallSettings = {},
  ): Promise<void> {
    const gracePeriod = grace === undefined ? undefined : toDuration(parseTimeSpan(grace, "grace"));
    try {
      await this.shutdown({ id, signal, gracePeriod }, settings);
    } catch (error) {
      if (!(error instanceof StockadeError && error.reason === "ENDED")) throw error;
      // It may be on its way only.
      await this.wait(id, { ...settings, retryMs: STOP_RETRY_MS });
    }
  }

  forceStop(id: string, settings?: RepeatableCallSettings): Promise<ForceStopResponse> {
    const request = ForceStopRequest.fromPartial({ id });
    return this.repeat(this.rpc.forceStop.bind(this.rpc), request, settings);
  }

  get(id: string, settings?: RepeatableCallSettings): Promise<GetResponse> {
    return this.repeat(this.rpc.get.bind(this.rpc), GetRequest.fromPartial({ id }), settings);
  }

  /** One page. For all of them there is `listAll`. */
  list(request: ListFields = {}, settings?: RepeatableCallSettings): Promise<ListResponse> {
    return this.repeat(this.rpc.list.bind(this.rpc), toListRequest(request), settings);
  }

  /** Every task that matches, page after page, each once; `settings` are those of each page's call. */
  async *listAll(
    request: ListFields = {},
    settings?: RepeatableCallSettings,
  ): AsyncGenerator<Task, void, void> {
    let { pageToken = "" } = request;
    do {
      const { tasks, nextPageToken } = await this.list({ ...request, pageToken }, settings);
      yield* tasks;
      pageToken = nextPageToken;
    } while (pageToken !== "");
  }

  /** Removes the record of a task that has ended. */
  delete(id: string, settings?: CallSettings): Promise<DeleteResponse> {
    return this.call(this.rpc.delete.bind(this.rpc), DeleteRequest.fromPartial({ id }), settings);
  }

  serverInfo(settings?: RepeatableCallSettings): Promise<GetServerInfoResponse> {
    const request = GetServerInfoRequest.fromPartial({});
    return this.repeat(this.rpc.getServerInfo.bind(this.rpc), request, settings);
  }

  open(request: Partial<OpenRequest>, settings?: RepeatableCallSettings): Promise<OpenResponse> {
    return this.repeat(this.rpc.open.bind(this.rpc), OpenRequest.fromPartial(request), settings);
  }

  /** What a task has written, by one call: throws where that is cut off. */
  logs(id: string, options?: LogsOptions): AsyncGenerator<LogEvent, void, undefined> {
    return readLogs(this.openLogs, id, options);
  }

  /** The same over lost connections and restarts of the daemon: byte for byte, each once. */
  output(id: string, options: OutputOptions = {}): AsyncGenerator<LogEvent, void, undefined> {
    return readLogsThrough(this.openLogs, id, options, this.retryMs);
  }

  /**
   * Runs a task: a promise of its result, and its output as it comes. Over restarts of the daemon, and, with
   * `onDisconnect: "keep"` or `detach`, over lost connections. Throws a TypeError for options that cannot be.
   */
  run(command: Command, options: RunOptions = {}): RunningTask {
    return runTask(this.taskCalls(), command, options);
  }

  /**
   * A task that is there, by its id, as `run` gives it: from the first byte on, or from where a program that was started
   * again has stopped. Its end is not the task's.
   */
  attach(id: string, options: AttachOptions = {}): RunningTask {
    return attachTo(this.taskCalls(), id, options);
  }

  /** Resolves when the daemon can be reached; rejects after `timeoutMs`, when `signal` fires, or once the client is closed. */
  async ready(timeoutMs: number, { signal }: WaitSettings = {}): Promise<void> {
    // Of a clock that nobody sets.
    const end = performance.now() + timeoutMs;
    // In short waits: one that is under way holds the process, closed or not.
    for (let left = timeoutMs; !this.closed && left > 0; left = end - performance.now()) {
      const reached = this.readyIn(Math.min(left, READY_WAIT_MS));
      if (await abortable(reached, signal)) return;
    }
    if (this.closed) throw clientClosed();
    throw localError("UNAVAILABLE", "the daemon cannot be reached");
  }

  close(): void {
    this.closed = true;
    this.rpc.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private readonly openLogs: OpenLogs = (request) => this.rpc.logs(request, this.openMetadata());

  private taskCalls(): TaskCalls {
    return {
      retryMs: this.retryMs,
      openRun: (request) => this.rpc.run(request, this.openMetadata()),
      output: (id, options) => this.output(id, options),
      wait: async (id, signal) => {
        const { exit } = await this.wait(id, { signal, retryMs: Infinity });
        if (exit === undefined) throw localError("INTERNAL", "the daemon answered Wait without an exit");
        return exit;
      },
      has: (id, signal) =>
        this.get(id, { signal, retryMs: Infinity }).then(
          () => true,
          (error: unknown) => {
            if (error instanceof StockadeError && error.reason === "TASK_NOT_FOUND") return false;
            throw error;
          },
        ),
      forceStop: async (id, signal) => {
        await this.forceStop(id, { signal, retryMs: STOP_RETRY_MS });
      },
      stop: (id, options, signal) => this.stop(id, options, { signal }),
    };
  }

  /** By a timer beside grpc-js's, which reads the clock again at each change of the connection: it may have been set back. */
  private readyIn(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms);
      this.rpc.waitForReady(Date.now() + ms, (error) => {
        clearTimeout(timer);
        resolve(error === undefined);
      });
    });
  }

  /** A call that can be made again, and is where it was cut off. */
  private repeat<Request, Response>(
    method: UnaryCall<Request, Response>["method"],
    request: Request,
    settings: RepeatableCallSettings = {},
  ): Promise<Response> {
    const unary = { method, request, metadata: this.openMetadata };
    return repeat(unary, { retryMs: this.retryMs, ...settings });
  }

  private call<Request, Response>(
    method: UnaryCall<Request, Response>["method"],
    request: Request,
    settings: CallSettings = {},
  ): Promise<Response> {
    return call({ method, request, metadata: this.openMetadata }, settings);
  }

  /** What each call carries. Throws once the client is closed: grpc-js would, with an error of another kind. */
  private readonly openMetadata = (): Metadata => {
    if (this.closed) throw clientClosed();
    return this.metadata();
  };
}

function clientClosed(): StockadeError {
  return localError("CANCELLED", "the client is closed", { reason: "CLIENT_CLOSED" });
}
