/** A task's output, from the one who receives it to all who read it. */
import { KeptOutput } from "./kept-output.js";
import type { OutputEvent, OutputStreamName } from "./logs.js";
import { OutputReader } from "./output-reader.js";

export const OUTPUT_STREAMS: readonly OutputStreamName[] = ["stdout", "stderr"];

export class OutputHub {
  readonly kept: Readonly<Record<OutputStreamName, KeptOutput>>;
  private readonly readers = new Set<OutputReader>();
  private over: { readonly error: unknown } | undefined;

  /** @param maxBuffer how many bytes of each stream are kept */
  constructor(maxBuffer: number) {
    this.kept = { stdout: new KeptOutput("stdout", maxBuffer), stderr: new KeptOutput("stderr", maxBuffer) };
  }

  /** Resolves when each reader has room for more: who reads slowly slows down what is received. */
  async publish(event: OutputEvent): Promise<void> {
    this.kept[event.stream].add(event);
    for (const reader of this.readers) reader.push(event);
    for (const reader of this.readers) {
      const room = reader.room();
      if (room !== undefined) await room;
    }
  }

  /** Begins with what is kept of the output so far. */
  reader(streams: readonly OutputStreamName[] = OUTPUT_STREAMS): OutputReader {
    const past = OUTPUT_STREAMS.flatMap((stream) => this.kept[stream].replay());
    const reader = new OutputReader(streams, past, () => this.readers.delete(reader));
    if (this.over === undefined) this.readers.add(reader);
    else reader.end(this.over.error);
    return reader;
  }

  /** For all readers, after what they have not read yet. */
  end(error?: unknown): void {
    this.over ??= { error };
    for (const reader of this.readers) reader.end(error);
    this.readers.clear();
  }

  /** Readers read no further, and hold up nothing; what comes is still kept. */
  detach(error: unknown): void {
    this.over ??= { error };
    for (const reader of [...this.readers]) {
      reader.end(error);
      reader.drop();
    }
    this.readers.clear();
  }
}
