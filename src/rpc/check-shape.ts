import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

import { invalidField } from "../tasks/errors.js";
import type { Part, Shape } from "./request-shape.js";

/** Ours: how often fields may be there that are not repeated, in all, beside those in what is: there are fewer. */
const SINGLE_MAX = 1024;

/** In each element of what is repeated; none has as many. */
const SINGLE_IN_ELEMENT_MAX = 4;

/**
 * Looks at the bytes of a request, without making anything of them: what is made of two bytes takes a microsecond, and of
 * 4 MiB of those the event loop would be held for a second. Throws for what is no message of this shape; a TaskError,
 * FIELD_INVALID, where something is there too often.
 */
export function checkShape(bytes: Uint8Array, shape: Shape): void {
  new Check(new BinaryReader(bytes)).message(bytes.length, shape, "");
}

class Check {
  private readonly counts = new Map<Part, number>();
  private singlesLeft = SINGLE_MAX;

  constructor(private readonly reader: BinaryReader) {}

  /** Up to its end; the generated code would end at a tag that cannot be, and say nothing. */
  message(end: number, shape: Shape, path: string): void {
    const { reader } = this;
    while (reader.pos < end) {
      const [number, wireType] = reader.tag();
      const part = shape[number];
      if (wireType === WireType.LengthDelimited) this.delimited(end, part, path);
      else this.number(number, wireType, part, path);
    }
    if (reader.pos !== end) throw new Error("a field ends beyond the end");
  }

  private delimited(end: number, part: Part | undefined, path: string): void {
    const { reader } = this;
    const length = reader.uint32();
    const fieldEnd = reader.pos + length;
    if (fieldEnd > end) throw new Error("a field ends beyond the end");
    if (part === undefined) this.single();
    else if (part.of === "packed") this.count(part, this.packed(fieldEnd, part), path);
    else {
      this.count(part, 1, path);
      if (part.of !== "text") this.message(fieldEnd, part.of, `${path}${part.name}.`);
    }
    // skip() would make an object of it.
    reader.pos = fieldEnd;
  }

  private number(number: number, wireType: WireType, part: Part | undefined, path: string): void {
    // Of proto2, and one may hold others without end.
    if (wireType === WireType.StartGroup) throw new Error("a group");
    if (part?.of === "packed") this.count(part, 1, path);
    else this.single();
    this.reader.skip(wireType, number);
  }

  /** How many numbers there are, or one too many. */
  private packed(end: number, { most }: Part): number {
    const { reader } = this;
    let count = 0;
    for (; reader.pos < end && count <= most; count++) reader.skip(WireType.Varint);
    return count;
  }

  private count(part: Part, more: number, path: string): void {
    const count = (this.counts.get(part) ?? 0) + more;
    this.counts.set(part, count);
    this.singlesLeft += more * SINGLE_IN_ELEMENT_MAX;
    if (count <= part.most) return;
    const field = `${path}${part.name}`;
    throw invalidField(
      field,
      part.most === 1 ? `${field} is there more than once` : `${field} has more than ${part.most} entries`,
    );
  }

  private single(): void {
    if (--this.singlesLeft < 0) throw new Error("more fields than any request has");
  }
}
