/** What is done to a daemon by clients that mean harm; each attack goes on until its process is ended. */
import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type OutgoingHttpHeaders,
} from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";

import * as api from "../../src/gen/executor/v1/executor.js";
import { callFrame, frame, resetFrame } from "../../test/support/http2-frames.js";
import { expensiveRequests, messageOf } from "./expensive-requests.js";
import { begun, first, open, SERVER_NAME, sent, transport, type Target, type Way } from "./target.js";

export type Attack = (target: Target) => Promise<unknown>;

const SERVICE = "/executor.v1.ExecutorService/";

/** So many connections, or calls, at once where an attack is bounded by nothing else. */
const LANES = 8;

/** More than there may be of either kind. */
const HALF_OPEN = 1100;

/** Streams of one connection that are opened, and then reset: fewer than make HTTP/2 itself give up. */
const STREAMS = 900;

/** Readers that have stopped. */
const READERS = 16;

export const ATTACKS = {
  reset_unix: (target) => lanes(LANES, () => resetStreams(target, "unix")),
  reset_tls: (target) => lanes(LANES, () => resetStreams(target, "tls")),
  connect_unix: (target) => lanes(LANES, () => connectOnce(target, "unix")),
  connect_tls: (target) => lanes(LANES, () => connectOnce(target, "tls")),
  half_open: (target) =>
    Promise.all([
      lanes(HALF_OPEN, () => saySilence(target, "tls")),
      lanes(HALF_OPEN, () => saySilence(target, "unix")),
    ]),
  garbage: (target) =>
    Promise.all([
      lanes(LANES, (turn) => sendGarbage(target, "tls", turn)),
      lanes(LANES, (turn) => sendGarbage(target, "unix", turn)),
    ]),
  streams: (target) => lanes(2, () => openAndCancel(target)),
  requests: sendExpensive,
  metadata: (target) => overSessions(target, LANES, (session) => askWithMetadata(session, target)),
  reader: (target) => lanes(READERS, () => readNothing(target)),
} satisfies Readonly<Record<string, Attack>>;

export type AttackName = keyof typeof ATTACKS;

/** Does it again and again, so many at once. */
function lanes(count: number, work: (turn: number) => Promise<unknown>): Promise<unknown> {
  const lane = async (): Promise<never> => {
    for (let turn = 0; ; turn++) await work(turn);
  };
  return Promise.all(Array.from({ length: count }, lane));
}

async function resetStreams(target: Target, way: Way): Promise<void> {
  const socket = await begun(target, way);
  for (let stream = 1; !socket.destroyed; stream += 2 * STREAMS) {
    const calls = streamsFrom(stream, (at) =>
      Buffer.concat([callFrame(at, `${SERVICE}Wait`, target.token), resetFrame(at)]),
    );
    await sent(socket, calls);
  }
}

async function connectOnce(target: Target, way: Way): Promise<void> {
  const socket = await begun(target, way);
  if (way === "unix") await first(socket, "data");
  socket.destroy();
}

async function saySilence(target: Target, way: Way): Promise<void> {
  await first(open(target, way).resume(), "close");
}

const GARBAGE = ["GET / HTTP/1.1\r\n\r\n", "\0".repeat(10_000), "\x1b[2J\xff\xfe".repeat(2000)];

async function sendGarbage(target: Target, way: Way, turn: number): Promise<void> {
  const socket = open(target, way).resume();
  // Over the unix socket every other is garbage within HTTP/2.
  if (way === "unix" && turn % 2 === 0) socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(GARBAGE[turn % GARBAGE.length] ?? "");
  await first(socket, "close");
}

/** Waits of a task that runs on, all cancelled. */
async function openAndCancel(target: Target): Promise<void> {
  const wait = messageOf(api.WaitRequest.encode({ id: target.running }).finish());
  const socket = await begun(target, "tls");
  const opened = streamsFrom(1, (at) =>
    Buffer.concat([callFrame(at, `${SERVICE}Wait`, target.token), frame(0, 1, at, wait)]),
  );
  await sent(socket, opened);
  await sent(socket, streamsFrom(1, resetFrame));
  socket.destroySoon();
  await first(socket, "close");
}

/** The largest lists that are accepted, one request after the other, and two at once. */
async function sendExpensive(target: Target): Promise<void> {
  const requests = expensiveRequests();
  let turn = 0;
  await overSessions(target, 2, async (session) => {
    const { method, body } = requests[turn++ % requests.length] ?? requests[0];
    await ask(session, callOf(method, target), messageOf(body(`a${process.pid}-${turn}`)));
  });
}

/** As much as HTTP/2 takes, and more. */
async function askWithMetadata(session: ClientHttp2Session, target: Target): Promise<void> {
  const taken = Object.fromEntries(Array.from({ length: 110 }, (_, at) => [`x-${at}-bin`, "A".repeat(480)]));
  const wait = messageOf(api.WaitRequest.encode({ id: "CGROUP:/none" }).finish());
  await ask(session, { ...callOf("Wait", target), ...taken }, wait);
  await ask(session, { ...callOf("Wait", target), "x-huge": "x".repeat(200_000) }, wait);
}

/** Logs of a task that writes without pause, of which nothing is read. */
async function readNothing(target: Target): Promise<void> {
  const session = sessionOf(target);
  const request = api.LogsRequest.encode(api.LogsRequest.fromPartial({ id: target.loud, follow: true }));
  await ask(session, callOf("Logs", target), messageOf(request.finish()), false);
  session.destroy();
  // Who is refused comes again, but not at once: there is nothing to be gained by it.
  await sleep(100);
}

function streamsFrom(begin: number, make: (stream: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: STREAMS }, (_, at) => make(begin + 2 * at)));
}

/** Does it again and again over one session, so many at once, and over a new one when it is closed. */
async function overSessions(
  target: Target,
  count: number,
  work: (session: ClientHttp2Session) => Promise<void>,
): Promise<void> {
  let session = sessionOf(target);
  await lanes(count, async () => {
    if (session.destroyed || session.closed) {
      // As with any client, not within the same turn.
      await sleep(1);
      if (session.destroyed || session.closed) session = sessionOf(target);
    }
    await work(session);
  });
}

function sessionOf(target: Target): ClientHttp2Session {
  const session = connectHttp2(`https://${SERVER_NAME}`, {
    maxSessionMemory: 1000,
    maxSendHeaderBlockLength: 2 ** 20,
    createConnection: () => transport(target, "tls"),
  });
  return session.on("error", () => undefined);
}

const callOf = (method: string, { token }: Target): OutgoingHttpHeaders => ({
  ":method": "POST",
  ":path": `${SERVICE}${method}`,
  "content-type": "application/grpc",
  te: "trailers",
  authorization: `Bearer ${token}`,
});

/** Resolves when the call is over, whatever its end. */
function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: Buffer,
  reads = true,
): Promise<void> {
  return new Promise((resolve) => {
    if (session.destroyed || session.closed) {
      resolve();
      return;
    }
    const stream = session.request(headers);
    stream.on("error", () => undefined).once("close", () => resolve());
    if (reads) stream.resume();
    // A Run that is answered goes on until somebody ends it.
    stream.once("data", () => stream.close(constants.NGHTTP2_CANCEL));
    if (!reads) stream.removeAllListeners("data").pause();
    stream.end(body);
  });
}
