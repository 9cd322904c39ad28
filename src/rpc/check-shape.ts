import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { isUtf8 } from "node:buffer";

import { invalidField, TaskError, withinField } from "../tasks/errors.js";
import type { Part, Shape } from "./request-shape.js";

/** Ours: how often fields may be there that are not repeated, in all, beside those in what is: there are fewer. */
const SINGLE_MAX = 1024;

/** In each element of what is repeated; none has as many. */
const SINGLE_IN_ELEMENT_MAX = 4;

/**
 * Looks at the bytes of a request, without making anything of them: what is made of two bytes takes a microsecond, and of
 * 4 MiB of those the event loop would be held for a second. Throws a TaskError, FIELD_INVALID, for what is no message of
 * this shape, with the field in which that is, if it is in one.
 */
export function checkShape(bytes: Uint8Array, shape: Shape): void {
  new Check(bytes, false).message(bytes.length, shape);
}

/** The same, and that each string is UTF-8: that of thirty thousand takes half as long again as to make them. */
export function checkTexts(bytes: Uint8Array, shape: Shape): void {
  new Check(bytes, true).message(bytes.length, shape);
}

class Check {
  private readonly reader: BinaryReader;
  private readonly counts = new Map<Part, number>();
  private singlesLeft = SINGLE_MAX;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly readsTexts: boolean,
  ) {
    this.reader = new BinaryReader(bytes);
  }

  /** Up to its end; the generated code would end at a tag that cannot be, and say nothing. */
  message(end: number, shape: Shape): void {
    const { reader } = this;
    while (reader.pos < end) {
      const [number, wireType] = this.tag();
      const part = shape[number];
      if (part === undefined) this.unknown(end, number, wireType);
      else this.known(end, part, wireType);
    }
    if (reader.pos !== end) throw noMessage("a field ends beyond the end");
  }

  private tag(): [number, WireType] {
    try {
      return this.reader.tag();
    } catch (error) {
      throw noMessage("a tag cannot be", error);
    }
  }

  /** Of a later version of the API, maybe. */
  private unknown(end: number, number: number, wireType: WireType): void {
    this.single();
    // Of proto2, and one may hold others without end.
    if (wireType === WireType.StartGroup) throw noMessage("a group");
    // skip() would make an object of it.
    if (wireType === WireType.LengthDelimited) this.reader.pos = this.endOfDelimited(end);
    else this.skip(wireType, number);
  }

  private known(end: number, part: Part, wireType: WireType): void {
    try {
      if (wireType === WireType.LengthDelimited) this.delimited(end, part);
      else this.number(part, wireType);
    } catch (error) {
      throw error instanceof TaskError && error.field === undefined
        ? invalidField(part.name, `${part.name}: ${error.message}`)
        : error;
    }
  }

  private delimited(end: number, part: Part): void {
    const { reader } = this;
    const fieldEnd = this.endOfDelimited(end);
    if (part.of === "number") throw ofOtherType(part);
    if (part.of === "numbers") this.count(part, this.packed(fieldEnd, part));
    else {
      const index = this.count(part, 1);
      if (part.of === "text") this.text(fieldEnd, part, index);
      else if (part.of !== "bytes") this.nested(fieldEnd, part, part.of, index);
    }
    reader.pos = fieldEnd;
  }

  private nested(end: number, part: Part, shape: Shape, index: number): void {
    try {
      this.message(end, shape);
    } catch (error) {
      if (!(error instanceof TaskError)) throw error;
      throw part.isMap ? invalidField(part.name, error.message) : withinField(nameOf(part, index), error);
    }
  }

  private text(end: number, part: Part, index: number): void {
    if (!this.readsTexts || isUtf8(this.bytes.subarray(this.reader.pos, end))) return;
    const field = nameOf(part, index);
    throw invalidField(field, `${field} is not UTF-8`);
  }

  private number(part: Part, wireType: WireType): void {
    if (wireType !== WireType.Varint || (part.of !== "number" && part.of !== "numbers"))
      throw ofOtherType(part);
    this.count(part, 1);
    this.skip(wireType);
  }

  private endOfDelimited(end: number): number {
    const fieldEnd = this.length() + this.reader.pos;
    if (fieldEnd > end) throw noMessage("a field ends beyond the end");
    return fieldEnd;
  }

  private length(): number {
    try {
      return this.reader.uint32();
    } catch (error) {
      throw noMessage("a length cannot be", error);
    }
  }

  private skip(wireType: WireType, number?: number): void {
    try {
      this.reader.skip(wireType, number);
    } catch (error) {
      throw noMessage("a number cannot be", error);
    }
  }

  /** How many numbers there are, or one too many. */
  private packed(end: number, { most = 1 }: Part): number {
    let count = 0;
    for (; this.reader.pos < end && count <= most; count++) this.skip(WireType.Varint);
    return count;
  }

  /** Answers which one it is, from 0. */
  private count(part: Part, more: number): number {
    const { name, most } = part;
    if (most === undefined) {
      this.single();
      return 0;
    }
    const count = (this.counts.get(part) ?? 0) + more;
    this.counts.set(part, count);
    this.singlesLeft += more * SINGLE_IN_ELEMENT_MAX;
    if (count <= most) return count - 1;
    const many = most === 1 ? "is there more than once" : `has more than ${most} entries`;
    throw invalidField(name, `${name} ${many}`);
  }

  private single(): void {
    if (--this.singlesLeft < 0) throw noMessage("more fields than any request has");
  }
}

function nameOf({ name, most }: Part, index: number): string {
  return most === undefined || most === 1 ? name : `${name}[${index}]`;
}

function noMessage(what: string, cause?: unknown): TaskError {
  return new TaskError({ reason: "FIELD_INVALID", message: `not a message of this API: ${what}`, cause });
}

/** Bytes of another type are skipped by most readers, as if the field were absent: a `true` that has no effect. */
function ofOtherType({ name }: Part): TaskError {
  return invalidField(name, `${name} is of another type`);
}
