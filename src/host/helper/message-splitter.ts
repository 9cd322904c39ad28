import { HEADER_SIZE, MESSAGE_SIZE_MAX, decode, type DaemonMessage } from "./protocol.js";

/** Cuts the launcher's byte stream into messages. */
export class MessageSplitter {
  private rest: Buffer = Buffer.alloc(0);

  constructor(private readonly deliver: (task: bigint, message: DaemonMessage) => void) {}

  /** Throws a RangeError where the stream is no sequence of messages. */
  push(chunk: Buffer): void {
    let bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    while (bytes.length >= HEADER_SIZE) {
      const size = bytes.readUInt32LE(0);
      if (size > MESSAGE_SIZE_MAX) throw new RangeError(`a message of ${size} bytes`);
      if (bytes.length < HEADER_SIZE + size) break;
      const body = bytes.subarray(HEADER_SIZE, HEADER_SIZE + size);
      this.deliver(bytes.readBigUInt64LE(8), decode(bytes.readUInt32LE(4), body));
      bytes = bytes.subarray(HEADER_SIZE + size);
    }
    this.rest = bytes;
  }
}
