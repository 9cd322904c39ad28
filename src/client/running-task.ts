/** A task that runs: a promise of its result, its output as it comes, and what can be done to it. */
import type { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";

import type { Resources, RunStarted, Unenforced } from "../gen/executor/v1/executor.js";
import { abortable } from "./abortable.js";
import { deferred, type Deferred } from "./deferred.js";
import { localError, type StockadeError } from "./error.js";
import type { OutputEvent, OutputStreamName } from "./logs.js";
import { toLines, toReadable, toWebStream } from "./output-bytes.js";
import { OutputHub } from "./output-hub.js";
import { TaskFailedError, toTaskEnd, type TaskResult } from "./result.js";
import type { StopOptions, TaskCalls, TaskEvent } from "./task-events.js";
import type { WaitSettings } from "./unary-call.js";

/** What is known of a task once its command runs. */
export interface TaskStarted {
  readonly id: string;
  /** Of the main process, as seen on the host; undefined: of a task that was attached to. */
  readonly pid: number | undefined;
  /** What was asked for and is not in force. */
  readonly unenforced: readonly Unenforced[];
  /** The limits in force; undefined: none were asked for. */
  readonly effective: Resources | undefined;
}

export interface RunningTaskParts {
  readonly calls: TaskCalls;
  /** What is heard of it; `signal` ends the listening. */
  readonly listen: (signal: AbortSignal) => AsyncIterable<TaskEvent>;
  /** Of one that was started before. */
  readonly id?: string;
  readonly maxBuffer: number;
  readonly reject: boolean;
  readonly signal: AbortSignal | undefined;
  /** Whether `signal`, and the handle's end, are the task's. */
  readonly onSignal: "end" | "leave";
  readonly onDispose: "end" | "leave";
  /** Whether the daemon ends the task when nobody listens any more. */
  readonly endsUnheard: boolean;
}

/**
 * A promise of how the task ends, and an async iterable of its output at once. As promise it rejects with a
 * TaskFailedError where the task has not exited with code 0, unless `reject` is false, and with a StockadeError where we
 * have failed. Whoever iterates is told the same when the output is over.
 *
 * Whoever takes a stream of it reads it, or leaves it (`break`, `destroy()`, `cancel()`): one that is not read holds up
 * the others, this promise, and in the end the daemon, which keeps what it can, and tells what it could not as a gap.
 */
export class RunningTask implements Promise<TaskResult>, AsyncIterable<OutputEvent>, AsyncDisposable {
  readonly [Symbol.toStringTag] = "RunningTask";
  /** Resolves once the command runs, and for a task that was attached to at once. */
  readonly started: Promise<TaskStarted>;
  private readonly outcome: Promise<TaskResult>;
  private readonly hub: OutputHub;
  private readonly listening = new AbortController();
  private readonly nodeStreams: Partial<Record<OutputStreamName, Readable>> = {};
  private ended = false;
  private canceled = false;
  /** Why nobody listens any more. */
  private gaveUp: StockadeError | undefined;

  /** @internal */
  constructor(private readonly parts: RunningTaskParts) {
    this.hub = new OutputHub(parts.maxBuffer);
    const started = deferred<TaskStarted>();
    if (parts.id !== undefined) {
      started.resolve({ id: parts.id, pid: undefined, unenforced: [], effective: undefined });
    }
    this.started = started.promise;
    this.outcome = this.follow(started);
    // Who does not ask is not told: neither is a reason for Node to end the process.
    this.started.catch(() => undefined);
    this.outcome.catch(() => undefined);
  }

  /** The id, by which `attach` and the calls know the task. */
  get id(): Promise<string> {
    return this.started.then(({ id }) => id);
  }

  /**
   * Its standard output, as bytes. Fails with an OutputLostError where some of it is lost; that the task has failed its
   * promise tells alone.
   */
  get stdout(): Readable {
    return this.nodeStream("stdout");
  }

  get stderr(): Readable {
    return this.nodeStream("stderr");
  }

  /** A new web stream of one of its streams, from the beginning. Fails with an OutputLostError where some of it is lost. */
  toWeb(stream: OutputStreamName): ReadableStream<Uint8Array> {
    return toWebStream(this.hub.reader([stream]));
  }

  /**
   * The lines of its standard output, or of another stream. Fails with an OutputLostError where some of it is lost; that
   * the task has failed its promise tells alone.
   */
  lines(stream: OutputStreamName = "stdout"): AsyncGenerator<string, void, undefined> {
    return toLines(this.hub.reader([stream]));
  }

  /** What it writes, from the beginning; ends as the promise does. Who begins late may find a gap for what was not kept. */
  [Symbol.asyncIterator](): AsyncGenerator<OutputEvent, void, undefined> {
    return this.events(this.hub.reader());
  }

  /**
   * Kills all processes of the task; resolves when nothing of it is left. Again, or after its end: nothing happens. The
   * signal ends the waiting alone: once the daemon has been told, the task ends all the same.
   */
  async kill({ signal }: WaitSettings = {}): Promise<void> {
    await this.parts.calls.forceStop(await abortable(this.id, signal), signal);
  }

  /**
   * Asks the task to end, and kills it where it has not within `grace`; resolves when nothing of it is left. `settings` as
   * of `kill`: that of `options` is the signal which the task gets.
   */
  async stop(options: StopOptions = {}, { signal }: WaitSettings = {}): Promise<void> {
    await this.parts.calls.stop(await abortable(this.id, signal), options, signal);
  }

  /**
   * Lets go of the task: it goes on if it was detached, or attached to, and ends if not. Streams end, and the promise
   * rejects with CANCELLED.
   */
  release(): void {
    this.giveUp(localError("CANCELLED", "the task was released"));
    this.listening.abort();
  }

  /** Ends a task that has not ended, or, detached or attached to, lets go of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.ended) {
      this.giveUp(localError("CANCELLED", "the task was disposed of"));
      if (this.parts.onDispose === "leave") this.release();
      else await this.end();
    }
    await this.outcome.catch(() => undefined);
  }

  then<Result = TaskResult, Failure = never>(
    onfulfilled?: ((result: TaskResult) => Result | PromiseLike<Result>) | null,
    onrejected?: ((error: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Result | Failure> {
    return this.outcome.then(onfulfilled, onrejected);
  }

  catch<Failure = never>(
    onrejected?: ((error: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<TaskResult | Failure> {
    return this.outcome.catch(onrejected);
  }

  finally(onfinally?: (() => void) | null): Promise<TaskResult> {
    return this.outcome.finally(onfinally);
  }

  private nodeStream(stream: OutputStreamName): Readable {
    return (this.nodeStreams[stream] ??= toReadable(this.hub.reader([stream])));
  }

  private async *events(reader: AsyncIterable<OutputEvent>): AsyncGenerator<OutputEvent, void, undefined> {
    yield* reader;
    await this.outcome;
  }

  private async follow(started: Deferred<TaskStarted>): Promise<TaskResult> {
    const { signal, listen } = this.parts;
    const abort = (): void => void this.abort();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      if (signal?.aborted === true) throw this.abort();
      const end = await this.hear(listen(this.listening.signal), started);
      this.ended = true;
      this.hub.end();
      return this.settle((await started.promise).id, end);
    } catch (error) {
      const cause = this.listening.signal.aborted ? (this.gaveUp ?? error) : error;
      started.reject(cause);
      this.hub.end(cause);
      throw cause;
    } finally {
      this.ended = true;
      signal?.removeEventListener("abort", abort);
    }
  }

  private async hear(events: AsyncIterable<TaskEvent>, started: Deferred<TaskStarted>): Promise<EndEvent> {
    let end: EndEvent | undefined;
    try {
      for await (const event of events) {
        if (event.kind === "exit") end = event;
        else if (event.kind === "started") started.resolve(toStarted(event.started));
        else await this.hub.publish(event);
      }
    } catch (error) {
      // Nothing comes after the exit: a stream that fails then has said all.
      if (end === undefined) throw error;
    }
    if (end === undefined) throw localError("INTERNAL", "the daemon ended the stream without an exit");
    return end;
  }

  private settle(id: string, { exit, files }: EndEvent): TaskResult {
    const { stdout, stderr } = this.hub.kept;
    const end = toTaskEnd(exit);
    const result: TaskResult = {
      ...end,
      id,
      canceled: end.failed && this.canceled,
      files,
      stdout: stdout.toString(),
      stderr: stderr.toString(),
      stdoutTruncated: stdout.truncated,
      stderrTruncated: stderr.truncated,
    };
    if (!result.failed || !this.parts.reject) return result;
    throw new TaskFailedError(result, result.canceled ? this.parts.signal?.reason : undefined);
  }

  private abort(): StockadeError {
    const error = localError("CANCELLED", "the caller has given up", {
      cause: this.parts.signal?.reason,
    });
    this.canceled = true;
    this.giveUp(error);
    if (this.parts.onSignal === "leave") this.listening.abort();
    else void this.end();
    return error;
  }

  private giveUp(error: StockadeError): void {
    this.gaveUp ??= error;
    this.hub.detach(error);
  }

  /** Ends the task, whether or not it has started yet. */
  private async end(): Promise<void> {
    if (this.parts.endsUnheard && !(await this.hasStarted())) {
      this.listening.abort();
      return;
    }
    // Where the daemon cannot be told any more there is nobody to listen to either.
    await this.kill().catch(() => this.listening.abort());
  }

  private hasStarted(): Promise<boolean> {
    return Promise.race([
      this.started.then(
        () => true,
        () => false,
      ),
      new Promise<boolean>((resolve) => setImmediate(resolve, false)),
    ]);
  }
}

type EndEvent = Extract<TaskEvent, { readonly kind: "exit" }>;

function toStarted({ id, pid, unenforced, effective }: RunStarted): TaskStarted {
  return { id, pid, unenforced, effective };
}
