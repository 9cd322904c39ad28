/** One reader of a task's output: a bounded queue between who has it and who wants it. */
import type { OutputEvent, OutputStreamName } from "./logs.js";

/** How many bytes may wait for a reader; one that has more holds up the task's stream. */
const QUEUE_BYTES = 256 * 1024;
/** And how many pieces, each of which may be one byte. */
const QUEUE_EVENTS = 1_024;

/** To leave the loop, or `return`, is to leave: nobody waits for this reader any more. */
export class OutputReader implements AsyncIterableIterator<OutputEvent, undefined> {
  private readonly queue: OutputEvent[];
  private bytes = 0;
  private over: { readonly error: unknown } | undefined;
  private readonly waiting: (() => void)[] = [];
  private wakeWriter: (() => void) | undefined;

  constructor(
    private readonly streams: readonly OutputStreamName[],
    past: readonly OutputEvent[],
    private readonly left: (reader: OutputReader) => void,
  ) {
    this.queue = past.filter((event) => this.wants(event));
  }

  push(event: OutputEvent): void {
    if (this.over !== undefined || !this.wants(event)) return;
    this.queue.push(event);
    this.bytes += sizeOf(event);
    this.wakeReaders();
  }

  /** Resolves when there is room, or when the reader has left; undefined: there is. */
  room(): Promise<void> | undefined {
    if (!this.isFull) return undefined;
    return new Promise((resolve) => (this.wakeWriter = resolve));
  }

  /** There will be no more: with an error, that is what the reader gets after the rest. */
  end(error?: unknown): void {
    this.over ??= { error };
    this.wakeReaders();
  }

  /** What the reader has not read yet is not for it. */
  drop(): void {
    this.queue.length = 0;
    this.bytes = 0;
    this.wakeWriter?.();
  }

  async next(): Promise<IteratorResult<OutputEvent, undefined>> {
    while (this.queue.length === 0 && this.over === undefined) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    const event = this.queue.shift();
    if (event !== undefined) {
      this.bytes = Math.max(0, this.bytes - sizeOf(event));
      if (!this.isFull) this.wakeWriter?.();
      return { done: false, value: event };
    }
    const error = this.over?.error;
    this.over = { error: undefined };
    if (error !== undefined) throw error as Error;
    return { done: true, value: undefined };
  }

  return(): Promise<IteratorResult<OutputEvent, undefined>> {
    this.over = { error: undefined };
    this.drop();
    this.left(this);
    this.wakeReaders();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private wakeReaders(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }

  private get isFull(): boolean {
    return this.over === undefined && (this.bytes >= QUEUE_BYTES || this.queue.length >= QUEUE_EVENTS);
  }

  private wants({ stream }: OutputEvent): boolean {
    return this.streams.includes(stream);
  }
}

function sizeOf(event: OutputEvent): number {
  return event.kind === "chunk" ? event.data.length : 0;
}
