/** A task's output as streams of bytes and of lines. */
import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";

import { brand } from "./brand.js";
import type { OutputEvent, OutputStreamName } from "./logs.js";
import type { OutputReader } from "./output-reader.js";

/** Some of the output is lost: a stream of bytes that went on after it would be another one. */
export class OutputLostError extends Error {
  static {
    brand(this, "OutputLostError");
  }

  constructor(
    readonly stream: OutputStreamName,
    /** Of the first byte that is missing. */
    readonly offset: bigint,
    readonly sizeBytes: bigint,
  ) {
    super(`${sizeBytes.toString()} bytes of ${stream} are lost, from byte ${offset.toString()} on`);
    this.name = "OutputLostError";
  }
}

function bytesOf(event: OutputEvent): Uint8Array {
  if (event.kind === "chunk") return event.data;
  throw new OutputLostError(event.stream, event.offset, event.sizeBytes);
}

/** The bytes that a reader reads; to leave it early is to leave the reader. */
class Bytes implements AsyncIterableIterator<Buffer, undefined> {
  constructor(private readonly reader: OutputReader) {}

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    const { done, value } = await this.reader.next();
    if (done === true) return { done, value };
    try {
      const { buffer, byteOffset, byteLength } = bytesOf(value);
      return { done: false, value: Buffer.from(buffer, byteOffset, byteLength) };
    } catch (error) {
      await this.reader.return();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<Buffer, undefined>> {
    await this.reader.return();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** A Node stream. To destroy it is to leave the reader. */
export function toReadable(reader: OutputReader): Readable {
  return Readable.from(new Bytes(reader), { objectMode: false });
}

/** A web stream. To cancel it is to leave the reader. */
export function toWebStream(reader: OutputReader): ReadableStream<Uint8Array> {
  const bytes = new Bytes(reader);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await bytes.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await bytes.return();
      },
    },
    { highWaterMark: 0 },
  );
}

/** The longest line in one piece, in characters: a longer one comes in several. */
const LINE_MAX = 1024 * 1024;

/** Lines without their newline; the last one may have had none. */
export async function* toLines(reader: OutputReader): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let rest = "";
  for await (const bytes of new Bytes(reader)) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
    if (rest.length >= LINE_MAX) {
      yield rest;
      rest = "";
    }
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}
