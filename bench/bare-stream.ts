/** A grpc-js server that streams the same bytes over and over, as many as are asked for: what no stream can do without. */
import { Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js";

import { BARE_STREAM } from "./bare-stream-service.js";
import { CHUNK_BYTES } from "./options.js";

const chunk = Buffer.alloc(CHUNK_BYTES, "x");

async function stream(call: ServerWritableStream<Buffer, Buffer>): Promise<void> {
  const total = Number(call.request.readBigUInt64LE());
  let sent: Promise<void> | undefined;
  for (let left = total; left > 0; left -= chunk.length) {
    await sent;
    sent = new Promise((resolve) => call.write(chunk, () => resolve()));
  }
  await sent;
  call.end();
}

const server = new Server();
server.addService(
  { stream: BARE_STREAM },
  { stream: (call: ServerWritableStream<Buffer, Buffer>) => void stream(call) },
);
server.bindAsync(process.argv[2] ?? "", ServerCredentials.createInsecure(), (error) => {
  process.stdout.write(error === null ? "ready\n" : `${error.message}\n`);
});
