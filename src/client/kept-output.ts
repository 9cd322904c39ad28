/** What is kept of one stream of a task's output: its beginning, up to so many bytes. */
import type { OutputEvent, OutputStreamName } from "./logs.js";

/** How many gaps are noted before no more is kept: they are what a hostile task could have many of. */
const GAPS_MAX = 1_000;

interface Gap {
  /** How many bytes were kept before it. */
  readonly after: number;
  readonly offset: bigint;
  readonly sizeBytes: bigint;
}

export class KeptOutput {
  private bytes = Buffer.alloc(0);
  private length = 0;
  private readonly gaps: Gap[] = [];
  /** Of the first byte. */
  private begin: bigint | undefined;
  /** Of what came last, kept or not. */
  private end = 0n;
  private full = false;

  constructor(
    private readonly stream: OutputStreamName,
    private readonly maxBytes: number,
  ) {}

  add(event: OutputEvent): void {
    this.begin ??= event.offset;
    if (event.kind === "gap") {
      this.end = event.offset + event.sizeBytes;
      if (this.gaps.length >= GAPS_MAX) this.full = true;
      if (!this.full) {
        this.gaps.push({ after: this.length, offset: event.offset, sizeBytes: event.sizeBytes });
      }
    } else {
      this.end = event.offset + BigInt(event.data.length);
      if (!this.full) this.append(event.data);
    }
  }

  /** Whether some of the output is missing from what is kept. */
  get truncated(): boolean {
    return this.full || this.gaps.length > 0;
  }

  /** What is kept, one piece after the other. */
  toString(): string {
    return this.bytes.toString("utf8", 0, this.length);
  }

  /** What is kept as it came, and what came after it as a gap. */
  replay(): OutputEvent[] {
    const { stream } = this;
    const events: OutputEvent[] = [];
    let offset = this.begin ?? 0n;
    let from = 0;
    const chunkTo = (to: number): void => {
      if (to === from) return;
      events.push({ kind: "chunk", stream, offset, data: this.bytes.subarray(from, to) });
      offset += BigInt(to - from);
      from = to;
    };
    for (const { after, ...gap } of this.gaps) {
      chunkTo(after);
      events.push({ kind: "gap", stream, ...gap });
      offset = gap.offset + gap.sizeBytes;
    }
    chunkTo(this.length);
    if (offset < this.end) events.push({ kind: "gap", stream, offset, sizeBytes: this.end - offset });
    return events;
  }

  private append(data: Uint8Array): void {
    const kept = data.subarray(0, this.maxBytes - this.length);
    if (kept.length < data.length) this.full = true;
    if (this.length + kept.length > this.bytes.length) this.grow(this.length + kept.length);
    this.bytes.set(kept, this.length);
    this.length += kept.length;
  }

  private grow(needed: number): void {
    const larger = Buffer.alloc(Math.min(Math.max(needed, 2 * this.bytes.length), this.maxBytes));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}
