/**
 * A bare server of HTTP/2, over TLS and a unix socket, that answers every call with nothing: what an attack costs its
 * host when it is not the daemon's. Its CPU time comes after everybody's, as the attacker's does.
 */
import { createSecureServer, createServer, type ServerHttp2Stream } from "node:http2";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { constants, setPriority } from "node:os";

const [path = "", certFile = "", keyFile = ""] = process.argv.slice(2);

const ANSWER = { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" };

function answer(stream: ServerHttp2Stream): void {
  stream.on("error", () => undefined).resume();
  stream.once("end", () => {
    if (!stream.destroyed && !stream.headersSent) stream.respond(ANSWER, { endStream: true });
  });
}

process.stdin.resume().once("close", () => process.exit());
setPriority(constants.priority.PRIORITY_LOW);
const settings = { maxConcurrentStreams: 4096 };
const plain = createServer({ settings }).on("stream", answer);
const secure = createSecureServer({
  settings,
  cert: readFileSync(certFile),
  key: readFileSync(keyFile),
}).on("stream", answer);
for (const server of [plain, secure]) server.on("sessionError", () => undefined);
plain.listen(path, () => {
  secure.listen(0, "127.0.0.1", () => {
    process.stdout.write(`${(secure.address() as AddressInfo).port}\n`);
  });
});
