/** Frames of HTTP/2, made by hand: what no client library would send. Source: RFC 9113, 4 and 6; RFC 7541, 6.2.2. */

export const PREFACE = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);

const HEADERS = 1;
const RST_STREAM = 3;
export const GOAWAY = 7;
const END_HEADERS = 4;

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A call whose request is to come, or never will. Names and values are shorter than 127 bytes. */
export function callFrame(stream: number, path: string, token?: string): Buffer {
  const fields = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "x"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...(token === undefined ? [] : [["authorization", `Bearer ${token}`]]),
  ];
  const block = fields.map(([name = "", value = ""]) =>
    Buffer.concat([
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  );
  return frame(HEADERS, END_HEADERS, stream, Buffer.concat(block));
}

/** CANCEL. */
export function resetFrame(stream: number): Buffer {
  return frame(RST_STREAM, 0, stream, Buffer.from([0, 0, 0, 8]));
}

/** So many calls, each by `make`, in the order of their streams. */
export function calls(count: number, make: (stream: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, at) => make(2 * at + 1)));
}
