/** Holds one message. Grown to the largest there was. */
let scratch = Buffer.allocUnsafeSlow(0);

/**
 * One message of these parts. It is overwritten by the next call: grpc-js copies at once what a serializer gives it, and
 * a new buffer for each message would keep the garbage collector busier than all else.
 */
export function joinOnce(...parts: readonly Uint8Array[]): Buffer {
  const size = parts.reduce((sum, { length }) => sum + length, 0);
  if (scratch.length < size) scratch = Buffer.allocUnsafeSlow(size);
  let at = 0;
  for (const part of parts) {
    scratch.set(part, at);
    at += part.length;
  }
  return scratch.subarray(0, size);
}
