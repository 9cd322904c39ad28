/** A task's logs in memory: they grow, lose their beginnings as init makes them, and change while they are read. */
import type { OutputFiles, OutputStreamName, StreamOffsets } from "../../src/tasks/ports-output";

export class OutputLog implements OutputFiles {
  private readonly bytes: Record<OutputStreamName, Buffer> = {
    stdout: Buffer.alloc(0),
    stderr: Buffer.alloc(0),
  };
  private recorded: Record<OutputStreamName, number> = { stdout: 0, stderr: 0 };
  private readonly watchers = new Set<() => void>();
  /** Happens after the first half of a read, before the second, whose bytes may be gone by then. */
  midway: (() => void) | undefined;
  /** Whether a change is told of. */
  tells = true;
  reads = 0;
  looks = 0;
  closed = false;

  write(stream: OutputStreamName, text: string | Buffer): void {
    this.bytes[stream] = Buffer.concat([this.bytes[stream], Buffer.from(text)]);
    this.tell();
  }

  /** As init does it: first the record, then the hole. */
  lose(stream: OutputStreamName, upTo: number): void {
    this.recorded = { ...this.recorded, [stream]: upTo };
    this.bytes[stream].fill(0, 0, Math.min(upTo, this.bytes[stream].length));
    this.tell();
  }

  /** The same where there can be no holes: all goes, and what comes next is where it was written. */
  loseAll(stream: OutputStreamName): void {
    this.recorded = { ...this.recorded, [stream]: this.bytes[stream].length };
    this.bytes[stream] = Buffer.alloc(0);
  }

  /** What nobody but init may do. */
  cutOff(stream: OutputStreamName): void {
    this.bytes[stream] = Buffer.alloc(0);
  }

  size(stream: OutputStreamName): number {
    this.looks++;
    return this.bytes[stream].length;
  }

  async read(stream: OutputStreamName, offset: number, bytes: Buffer): Promise<number> {
    this.reads++;
    const middle = Math.floor(bytes.length / 2);
    const first = this.bytes[stream].subarray(offset, offset + middle).copy(bytes);
    await new Promise((resolve) => setImmediate(resolve));
    this.midway?.();
    return first + this.bytes[stream].subarray(offset + first, offset + bytes.length).copy(bytes, first);
  }

  kept(): StreamOffsets {
    return this.recorded;
  }

  watch(changed: () => void): () => void {
    this.watchers.add(changed);
    return () => this.watchers.delete(changed);
  }

  get watched(): boolean {
    return this.watchers.size > 0;
  }

  close(): void {
    this.closed = true;
  }

  private tell(): void {
    if (this.tells) for (const changed of this.watchers) setImmediate(changed);
  }
}
