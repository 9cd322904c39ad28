/**
 * The flat encoding that daemon and launcher share: little endian, no padding; a string
 * is its size without the NUL, the bytes, one NUL; a list is its count, then the items.
 */

/** Most bytes of a body. The launcher takes a larger one for no message at all, and ends. */
export const MESSAGE_SIZE_MAX = 16 * 2 ** 20;

/** What was to be sent is more than a message may be. */
export class BodyTooLarge extends RangeError {
  constructor() {
    super(`a body of more than ${MESSAGE_SIZE_MAX} bytes`);
    this.name = "BodyTooLarge";
  }
}

/** Builds one body. Throws BodyTooLarge before it holds more than may be sent. */
export class BodyWriter {
  private bytes = Buffer.allocUnsafe(4096);
  private size = 0;

  u32(value: number): this {
    this.reserve(4);
    this.size = this.bytes.writeUInt32LE(value, this.size);
    return this;
  }

  u64(value: bigint): this {
    this.reserve(8);
    this.size = this.bytes.writeBigUInt64LE(value, this.size);
    return this;
  }

  /** Throws a RangeError for a string that holds a NUL: the reader's end would be ours to guess. */
  string(value: string): this {
    if (value.includes("\0")) throw new RangeError("a string holds a NUL");
    const length = Buffer.byteLength(value);
    this.u32(length);
    this.reserve(length + 1);
    this.bytes.write(value, this.size, "utf8");
    this.size += length;
    this.bytes[this.size++] = 0;
    return this;
  }

  list<T>(items: readonly T[], write: (item: T) => void): this {
    this.u32(items.length);
    items.forEach(write);
    return this;
  }

  finish(): Buffer {
    return this.bytes.subarray(0, this.size);
  }

  private reserve(more: number): void {
    if (this.size + more <= this.bytes.length) return;
    if (this.size + more > MESSAGE_SIZE_MAX) throw new BodyTooLarge();
    const larger = Buffer.allocUnsafe(
      Math.min(Math.max(2 * this.bytes.length, this.size + more), MESSAGE_SIZE_MAX),
    );
    this.bytes.copy(larger, 0, 0, this.size);
    this.bytes = larger;
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

  end(): void {
    if (this.offset !== this.body.length) throw new RangeError("a message is longer than its fields");
  }
}
