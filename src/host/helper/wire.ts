/**
 * The flat encoding that daemon and launcher share: little endian, no padding; a string
 * is its size without the NUL, the bytes, one NUL; bytes are their size, then themselves; a list is its count, then the items.
 */

/** Most bytes of a body. The launcher takes a larger one for no message at all, and ends. */
export const MESSAGE_SIZE_MAX = 16 * 2 ** 20;

/** What a writer has room for at first. */
const SIZE_MIN = 4096;

/** What was to be sent is more than a message may be. */
export class BodyTooLarge extends RangeError {
  constructor() {
    super(`a body of more than ${MESSAGE_SIZE_MAX} bytes`);
    this.name = "BodyTooLarge";
  }
}

/** Builds one body. Throws BodyTooLarge before it holds more than may be sent. */
export class BodyWriter {
  private buffer: Buffer;
  private size = 0;

  /** @param large how many bytes of it are known to come: to grow by them would copy them again */
  constructor(large = 0) {
    this.buffer = Buffer.allocUnsafe(Math.min(SIZE_MIN + large, MESSAGE_SIZE_MAX));
  }

  u32(value: number): this {
    this.reserve(4);
    this.size = this.buffer.writeUInt32LE(value, this.size);
    return this;
  }

  u64(value: bigint): this {
    this.reserve(8);
    this.size = this.buffer.writeBigUInt64LE(value, this.size);
    return this;
  }

  /** Throws a RangeError for a string that holds a NUL: the reader's end would be ours to guess. */
  string(value: string): this {
    if (value.includes("\0")) throw new RangeError("a string holds a NUL");
    const length = Buffer.byteLength(value);
    this.u32(length);
    this.reserve(length + 1);
    this.buffer.write(value, this.size, "utf8");
    this.size += length;
    this.buffer[this.size++] = 0;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.u32(value.length);
    this.reserve(value.length);
    this.buffer.set(value, this.size);
    this.size += value.length;
    return this;
  }

  list<T>(items: readonly T[], write: (item: T) => void): this {
    this.u32(items.length);
    items.forEach(write);
    return this;
  }

  finish(): Buffer {
    return this.buffer.subarray(0, this.size);
  }

  private reserve(more: number): void {
    if (this.size + more <= this.buffer.length) return;
    if (this.size + more > MESSAGE_SIZE_MAX) throw new BodyTooLarge();
    const larger = Buffer.allocUnsafe(
      Math.min(Math.max(2 * this.buffer.length, this.size + more), MESSAGE_SIZE_MAX),
    );
    this.buffer.copy(larger, 0, 0, this.size);
    this.buffer = larger;
  }
}

/** Reads one body; throws a RangeError where the body is shorter or longer than its fields. */
export class BodyReader {
  private offset = 0;

  constructor(private readonly body: Buffer) {}

  u32(): number {
    const value = this.body.readUInt32LE(this.offset);
    this.offset += 4;
    return value;
  }

  i32(): number {
    const value = this.body.readInt32LE(this.offset);
    this.offset += 4;
    return value;
  }

  u64(): bigint {
    const value = this.body.readBigUInt64LE(this.offset);
    this.offset += 8;
    return value;
  }

  /** UTF-8; what is none is replaced. */
  string(): string {
    const end = this.offset + 4 + this.u32();
    if (this.body[end] !== 0) throw new RangeError("a string does not end where it should");
    const text = this.body.toString("utf8", this.offset, end);
    this.offset = end + 1;
    return text;
  }

  end(): void {
    if (this.offset !== this.body.length) throw new RangeError("a message is longer than its fields");
  }
}
