/** A task's output as JSON, one event on each line. */
import { isUtf8 } from "node:buffer";

import { toTaskEnd, type LogEvent, type OutputStreamName } from "../client/index.js";
import { printableJsonLine } from "./printable.js";

/** Bytes of one stream, at their offset in it. */
interface Piece {
  readonly offset: bigint;
  readonly data: Buffer;
}

/** Text is cut between characters, wherever the chunks were. */
export class LogLines {
  /** Of each stream the beginning of a character whose rest is to come: three bytes at most. */
  private readonly begun = new Map<OutputStreamName, Piece>();

  /** The lines that an event makes: several, or none yet. */
  of(event: LogEvent): string[] {
    switch (event.kind) {
      case "begin":
        return [];
      case "chunk":
        return this.chunk(event.stream, event.offset, event.data);
      case "gap":
        return [...this.rest(event.stream), printableJsonLine(event)];
      case "exit":
        return [...this.end(), printableJsonLine({ kind: "exit", exit: toTaskEnd(event.exit) })];
    }
  }

  /** What has been held back, where nothing more comes. */
  end(): string[] {
    return [...this.rest("stdout"), ...this.rest("stderr")];
  }

  private chunk(stream: OutputStreamName, offset: bigint, data: Uint8Array): string[] {
    const begun = this.begun.get(stream) ?? { offset, data: Buffer.alloc(0) };
    const whole = Buffer.concat([begun.data, data]);
    const end = whole.length - begunCharacter(whole);
    this.begun.set(stream, { offset: begun.offset + BigInt(end), data: whole.subarray(end) });
    return lineOf(stream, { offset: begun.offset, data: whole.subarray(0, end) });
  }

  private rest(stream: OutputStreamName): string[] {
    const begun = this.begun.get(stream);
    this.begun.delete(stream);
    return begun === undefined ? [] : lineOf(stream, begun);
  }
}

/** Of bytes that are no text `data` has what can be read, as run's document has it, and `base64` all of them. */
function lineOf(stream: OutputStreamName, { offset, data }: Piece): string[] {
  if (data.length === 0) return [];
  const exact = isUtf8(data) ? {} : { base64: data.toString("base64") };
  return [printableJsonLine({ kind: "chunk", stream, offset, data: data.toString("utf8"), ...exact })];
}

/** How many bytes at the end are the beginning of a character in UTF-8, and no more of it (RFC 3629, 4). */
function begunCharacter(bytes: Buffer): number {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const byte = bytes.readUInt8(bytes.length - length);
    if ((byte & 0xc0) === 0x80) continue;
    return charactersBytes(byte) > length ? length : 0;
  }
  return 0;
}

/** Of a character that begins so; of what begins none, 1. */
function charactersBytes(first: number): number {
  if (first < 0xc2 || first > 0xf4) return 1;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}
