/** What a connection sends goes on to HTTP/2 a few calls at a time, as it was. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

import { FrameGate, type Owner } from "../../src/rpc/access/frame-gate";
import { Share, Slices } from "../../src/rpc/access/slices";
import { callFrame, calls, frame, PREFACE } from "../support/http2-frames";

const DATA = 0;
const HEADERS = 1;
const PREFACE_BYTES = 24;

let client: Socket;
let accepted: Socket;

beforeEach(async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  client = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => undefined);
  [accepted] = (await once(server, "connection")) as [Socket];
  server.close();
});

afterEach(() => {
  client.destroy();
  accepted.destroy();
});

function gateFor(owner: Partial<Owner> = {}): FrameGate {
  return new FrameGate(accepted, new Slices(), { share: new Share(), endCalls: () => false, ...owner });
}

/** How many frames of a type begin where; of bytes from the beginning of a connection. */
function beginnings(bytes: Buffer, type: number): number[] {
  const found: number[] = [];
  for (let at = PREFACE_BYTES; at < bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    if (bytes[at + 3] === type) found.push(at);
  }
  return found;
}

async function passed(gate: FrameGate, bytes: number): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for await (const piece of gate as AsyncIterable<Buffer>) {
    pieces.push(piece);
    if (pieces.reduce((sum, { length }) => sum + length, 0) >= bytes) return pieces;
  }
  return pieces;
}

it("of calls that come at once no more than two begin in one piece, and all bytes come as they were", async () => {
  const body = frame(DATA, 1, 1, Buffer.alloc(5));
  const sent = Buffer.concat([
    PREFACE,
    calls(500, (stream) => Buffer.concat([callFrame(stream, "/a/B"), body])),
  ]);
  const gate = gateFor();
  client.write(sent);
  const pieces: Buffer[] = [];
  gate.on("data", (piece: Buffer) => pieces.push(piece));
  while (pieces.reduce((sum, { length }) => sum + length, 0) < sent.length) await once(gate, "data");
  expect(Buffer.concat(pieces).equals(sent)).toBe(true);
  let at = 0;
  const headers = beginnings(sent, HEADERS);
  for (const { length } of pieces) {
    expect(headers.filter((begin) => begin >= at && begin < at + length).length).toBeLessThanOrEqual(2);
    at += length;
  }
});

it("bytes that come one by one go on as they were", async () => {
  const sent = Buffer.concat([PREFACE, callFrame(1, "/a/B"), frame(DATA, 1, 1, Buffer.alloc(300))]);
  const gate = gateFor();
  const all = passed(gate, sent.length);
  for (const byte of sent) {
    client.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(Buffer.concat(await all).equals(sent)).toBe(true);
});

it.each(["end", "destroy"] as const)(
  "the calls of a client that has gone (%s) are ended a few at a time, and then it is over",
  async (way) => {
    let left = 100;
    const counts: number[] = [];
    const gate = gateFor({
      endCalls: (count) => {
        counts.push(Math.min(count, left));
        left = Math.max(0, left - count);
        return left > 0;
      },
    });
    gate.resume();
    client.write(PREFACE);
    await once(gate, "data");
    client[way]();
    // The socket closes after its end, which on a busy host is before the last call has been ended.
    const closed = once(gate, "close");
    await (way === "end" ? Promise.race([once(gate, "end"), closed]) : closed);
    expect(left).toBe(0);
    expect(Math.max(...counts)).toBeLessThanOrEqual(4);
    gate.destroy();
  },
);
