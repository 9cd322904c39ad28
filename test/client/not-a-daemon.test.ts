/** What answers where a daemon was expected: a call that goes on over restarts ends all the same. */
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { once } from "node:events";
import type { AddressInfo } from "node:net";

import { connect } from "../../src/client";

const ID = "CGROUP:/x/01a2242e-0000-7000-8000-000000000000";

let server: Http2Server;
let streams = 0;
let answer: (stream: ServerHttp2Stream) => void;

beforeEach(async () => {
  streams = 0;
  server = createServer();
  server.on("stream", (stream) => {
    streams++;
    answer(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

afterEach(() => server.close());

function page(status: number): (stream: ServerHttp2Stream) => void {
  return (stream) => {
    stream.respond({ ":status": status, "content-type": "text/plain" });
    stream.end();
  };
}

/** With what a call fails that would go on for as long as it takes. */
async function failureOf(call: "output" | "wait"): Promise<unknown> {
  using client = connect(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    if (call === "wait") return await client.wait(ID, { retryMs: Infinity });
    for await (const event of client.output(ID, { follow: true, retryMs: Infinity })) return event;
    return undefined;
  } catch (error) {
    return error;
  }
}

it.each([
  [401, "UNAUTHENTICATED"],
  [403, "PERMISSION_DENIED"],
  [404, "UNIMPLEMENTED"],
])("HTTP %d is %s at once", async (status, code) => {
  answer = page(status);
  expect(await failureOf("output")).toMatchObject({ name: "StockadeError", code });
  expect(await failureOf("wait")).toMatchObject({ name: "StockadeError", code });
  expect(streams).toBe(2);
});

it.each([
  ["HTTP 400", page(400)],
  ["HTTP 500", page(500)],
  [
    "a message that is none",
    (stream: ServerHttp2Stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.end(Buffer.of(0, 0, 0, 0, 3, 255, 255, 255));
    },
  ],
  [
    "a stream without a status",
    (stream: ServerHttp2Stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.end();
    },
  ],
])("%s is looked at a few times", async (_name, answered) => {
  answer = answered;
  expect(await failureOf("output")).toMatchObject({ name: "StockadeError" });
  expect(streams).toBe(5);
  expect(await failureOf("wait")).toMatchObject({ name: "StockadeError" });
  expect(streams).toBe(10);
});

it("where nobody is, output gives up when other calls do", async () => {
  server.close();
  using client = connect({ address: "unix:/no/such/socket", retryMs: 100 });
  const listen = async (): Promise<void> => {
    for await (const event of client.output(ID, { follow: true })) throw new Error(event.kind);
  };
  await expect(listen()).rejects.toMatchObject({ code: "UNAVAILABLE", reason: undefined });
});

it("a client that is closed says so", async () => {
  const client = connect("unix:/no/such/socket");
  client.close();
  const closed = { name: "StockadeError", code: "CANCELLED", reason: "CLIENT_CLOSED" };
  await expect(client.get(ID)).rejects.toMatchObject(closed);
  await expect(client.output(ID).next()).rejects.toMatchObject(closed);
  await expect(client.run("true")).rejects.toMatchObject(closed);
});
