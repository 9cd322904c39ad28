/** Clients that mean harm: what they do stays theirs, and others are served meanwhile. */
import { readFileSync } from "node:fs";
import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectTcp, type NetConnectOpts, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { gzipSync } from "node:zlib";

import type { StockadeClient } from "../../src/client";
import { sha256 } from "../support/certificates";
import { descriptors, failure, until } from "../support/daemon";
import { RemoteDaemon, SERVER_NAME } from "../support/remote-daemon";
import { callFrame, calls, frame, GOAWAY, PREFACE, resetFrame } from "../support/http2-frames";
import { SLOW } from "../support/requires";
import { Turns } from "../support/turns";

const NOBODY = "CGROUP:/x/00000000-0000-7000-8000-000000000000";
const WAIT = "/executor.v1.ExecutorService/Wait";
const HEALTH = "/grpc.health.v1.Health/Check";
const MIB = 2 ** 20;

/** Far above what is measured: a daemon that is stuck, or works for the attacker alone, takes longer. */
const SERVED_MS = 5_000 * SLOW;

/**
 * Most CPU time that a turn of the daemon's event loop may take, in milliseconds, and most that a call may wait: several
 * times what is measured. A daemon that does at once all that it is sent takes seconds.
 */
const TURN_MS = 500 * SLOW;

const DATA = 0;
const END_STREAM = 1;

let daemon: RemoteDaemon;
let turns: Turns;
let victim: StockadeClient;
let open: { destroy(): unknown }[] = [];

beforeAll(async () => {
  turns = new Turns();
  daemon = await RemoteDaemon.start({
    access: [
      { name: "victim", role: "run", token_sha256: sha256("victim") },
      { name: "hostile", role: "run", token_sha256: sha256("hostile") },
    ],
    config: { max_connections: 100, max_calls: 2000 },
    env: turns.env,
  });
});

beforeEach(async () => {
  victim = daemon.client({ token: "victim" });
  await expectServed();
  turns.forget();
});

afterEach(async () => {
  for (const one of open) one.destroy();
  open = [];
  await expectServed();
  const { currentTestName: name = "" } = expect.getState();
  const longestMs = turns.longestMs();
  process.stderr.write(`longest turn ${longestMs.toFixed(1)} ms: ${name}\n`);
  expect(longestMs).toBeLessThan(TURN_MS);
  // Whatever has been held for them is given back.
  await until(() => descriptors(daemon.test.pid) < 150, 30_000);
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  turns[Symbol.dispose]();
});

/** The victim and the local admin, each on the connection that it has, and over a new one. */
async function expectServed(): Promise<void> {
  const began = performance.now();
  const newcomer = daemon.client({ token: "victim" });
  for (const client of [victim, newcomer, daemon.test.client]) {
    const { code } = await failure(client.wait(NOBODY, { timeoutMs: SERVED_MS }));
    expect(code).toBe("NOT_FOUND");
  }
  newcomer.close();
  // Clients of the library share one connection to an address without TLS.
  const local = http2("unix");
  expect(await send(local, call(WAIT), partial(0, 0), true)).toMatchObject({ status: "3" });
  local.destroy();
  expect(performance.now() - began).toBeLessThan(SERVED_MS);
}

function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** Where they come from: not where the victim does. */
const ELSEWHERE = "127.0.0.66";

function tcp(to: NetConnectOpts = { port: daemon.port, host: "127.0.0.1", localAddress: ELSEWHERE }): Socket {
  const socket = connectTcp(to);
  socket.on("error", () => undefined);
  open.push(socket);
  return socket;
}

const unix = (): NetConnectOpts => ({ path: daemon.test.daemon.address.replace(/^unix:/, "") });

function closed(socket: {
  readonly destroyed: boolean;
  once(event: "close", then: () => void): unknown;
}): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve();
    else socket.once("close", resolve);
  });
}

/** One that says nothing; it reads what it is told, by which it learns of its end. */
const silent = (where: "tls" | "unix"): Socket => tcp(where === "unix" ? unix() : undefined).resume();

/** What HTTP/2 is spoken over. */
function transport(where: "tls" | "unix"): Socket {
  if (where === "unix") return tcp(unix());
  const options = { ca: daemon.authority.ca, servername: SERVER_NAME, ALPNProtocols: ["h2"] };
  return connectTls({ ...options, socket: tcp() }).on("error", () => undefined);
}

/** A session of HTTP/2 over TLS, or to the unix socket. */
function http2(where: "tls" | "unix" = "tls"): ClientHttp2Session {
  const session = connectHttp2(`${where === "tls" ? "https" : "http"}://${SERVER_NAME}`, {
    maxSessionMemory: 1000,
    // It sends whatever it is given.
    maxSendHeaderBlockLength: 10 * MIB,
    createConnection: () => transport(where),
  });
  session.on("error", () => undefined);
  open.push(session);
  return session;
}

/** A connection that has begun HTTP/2, for frames made by hand. */
function bare(where: "tls" | "unix"): Promise<Socket> {
  const socket = transport(where);
  return new Promise((resolve) => {
    socket.once(where === "unix" ? "connect" : "secureConnect", () => {
      socket.write(PREFACE);
      resolve(socket);
    });
  });
}

/** Resolves when the daemon has said GOAWAY, or closed. */
function goneAway(socket: Socket): Promise<void> {
  let unread = Buffer.alloc(0);
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
    socket.on("data", (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
        if (unread[3] === GOAWAY) resolve();
        unread = unread.subarray(9 + unread.readUIntBE(0, 3));
      }
    });
  });
}

const call = (path: string, token?: string): OutgoingHttpHeaders => ({
  ":method": "POST",
  ":path": path,
  "content-type": "application/grpc",
  te: "trailers",
  ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
});

interface Answer {
  readonly status: string | undefined;
  /** The code of HTTP/2 with which the stream was reset, or its connection closed. */
  readonly reset?: number;
}

/** Sends the headers, and the bytes, of a call; without an end unless it is `whole`. */
function send(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  bytes?: Buffer,
  whole = false,
): Promise<Answer> {
  return new Promise((resolve) => {
    if (session.destroyed || session.closed) {
      resolve({ status: undefined });
      return;
    }
    const stream = session.request(headers);
    let status: string | undefined;
    stream.on("error", () => undefined);
    const note = (answer: OutgoingHttpHeaders): void => {
      status = answer["grpc-status"]?.toString() ?? status;
      if (status !== undefined) resolve({ status });
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("close", () => resolve({ status, reset: stream.rstCode }));
    stream.resume();
    if (bytes !== undefined) stream.write(bytes);
    if (whole) stream.end();
  });
}

/** The beginning of a message that says it is so long. */
function partial(length: number, sent: number): Buffer {
  const bytes = Buffer.alloc(5 + sent);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

describe("connections", () => {
  it.each(["tls", "unix"] as const)(
    "that say nothing, a thousand of them, keep nobody out: %s",
    async (where) => {
      const many: Socket[] = [];
      // The second time they also take the places of those that were about to go at the first.
      for (const count of [900, 100]) {
        many.push(...Array.from({ length: count }, () => silent(where)));
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      await expectServed();
      expect(descriptors(daemon.test.pid)).toBeLessThan(400);
      await until(() => many.filter(({ destroyed }) => destroyed).length >= 800);
    },
  );

  it.each(["tls", "unix"] as const)(
    "that say nothing are closed: %s",
    async (where) => {
      await Promise.all(Array.from({ length: 10 }, () => closed(silent(where))));
    },
    60_000 * SLOW,
  );

  it(
    "that send their handshake byte by byte are closed",
    async () => {
      const socket = tcp();
      const hello = Buffer.from("16030100f8010000f40303", "hex");
      let at = 0;
      const drip = setInterval(() => socket.write(hello.subarray(at, ++at)), 900);
      await closed(socket);
      clearInterval(drip);
    },
    60_000 * SLOW,
  );

  it.each(["tls", "unix"] as const)(
    "that begin HTTP/2, and call nothing, are closed, and those that have called are not: %s",
    async (where) => {
      const caller = http2(where);
      expect(await send(caller, call(HEALTH, "hostile"), partial(0, 0), true)).toEqual({ status: "0" });
      const refused = call(WAIT, "hostile");
      expect(await send(caller, refused, partial(0, 0), true)).toEqual({ status: "3" });
      await closed(http2(where));
      expect(await send(caller, refused, partial(0, 0), true)).toEqual({ status: "3" });
    },
    60_000 * SLOW,
  );

  it.each(["tls", "unix"] as const)("that send garbage are closed: %s", async (where) => {
    for (const garbage of ["GET / HTTP/1.1\r\n\r\n", "\0".repeat(10_000), "\x1b[2J\xff\xfe".repeat(100)]) {
      const socket = tcp(where === "unix" ? unix() : undefined);
      socket.write(garbage);
      await closed(socket.resume());
    }
  });

  it("that send garbage after HTTP/2's own beginning are closed", async () => {
    const socket = tcp(unix());
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(Buffer.alloc(100_000, 0xff));
    await closed(socket.resume());
  });

  it("of one identity are half of all at most", async () => {
    const many = Array.from({ length: 60 }, () => daemon.client({ token: "hostile" }));
    const codes = await Promise.all(many.map(async (client) => (await failure(client.wait(NOBODY))).code));
    expect(codes.filter((code) => code === "NOT_FOUND").length).toBe(50);
    expect(codes.filter((code) => code === "RESOURCE_EXHAUSTED").length).toBe(10);
    await expectServed();
    for (const client of many) client.close();
  });
});

describe("streams", () => {
  it.each(["tls", "unix"] as const)(
    "that are reset as soon as they are opened are not taken any more: %s",
    async (where) => {
      const socket = await bare(where);
      const told = goneAway(socket);
      socket.write(
        calls(20_000, (stream) => Buffer.concat([callFrame(stream, WAIT, "hostile"), resetFrame(stream)])),
      );
      await expectServed();
      await told;
    },
  );

  it("that come by the thousand, and are cancelled, hold up nobody else's", async () => {
    let over = false;
    const wait = frame(DATA, END_STREAM, 1, partial(0, 0));
    const flood = async (): Promise<void> => {
      while (!over) {
        const socket = await bare("tls");
        // More than HTTP/2 lets be reset.
        socket.write(
          calls(900, (stream) => {
            wait.writeUInt32BE(stream, 5);
            return Buffer.concat([callFrame(stream, WAIT, "hostile"), wait]);
          }),
        );
        socket.resume().end(calls(900, resetFrame));
        await closed(socket);
      }
    };
    for (let count = 0; count < 3; count++) void flood();
    const tookMs: number[] = [];
    for (let count = 0; count < 41; count++) {
      const began = performance.now();
      await failure(victim.wait(NOBODY));
      tookMs.push(performance.now() - began);
    }
    over = true;
    const [median = Infinity] = tookMs.sort((one, other) => one - other).slice(20);
    expect(median).toBeLessThan(TURN_MS);
  });

  it("without credentials are refused, and then their connection is closed", async () => {
    const socket = await bare("tls");
    socket.write(calls(1000, (stream) => callFrame(stream, WAIT)));
    await closed(socket.resume());
  });

  it(
    "to what is not there are bounded, and gone with their connection",
    async () => {
      const before = memoryOf(daemon.test.pid);
      const sockets = await Promise.all(Array.from({ length: 30 }, () => bare("tls")));
      for (const socket of sockets)
        socket.resume().write(calls(4096, (stream) => callFrame(stream, "/no/Such")));
      await expectServed();
      expect(memoryOf(daemon.test.pid) - before).toBeLessThan(1000 * MIB);
      await Promise.all(sockets.map((socket) => closed(socket)));
    },
    60_000 * SLOW,
  );

  it("of one caller are as many as it may have", async () => {
    const session = http2();
    const answers: Answer[] = [];
    for (let count = 0; count < 2500; count++) {
      void send(session, call(WAIT, "hostile")).then((answer) => answers.push(answer));
    }
    await until(() => answers.length >= 500);
    expect(answers.every(({ status }) => status === "8")).toBe(true);
    await expectServed();
    expect(answers).toHaveLength(500);
  });

  it("that ask for health without credentials are few", async () => {
    const session = http2();
    const answers: Answer[] = [];
    for (let count = 0; count < 20; count++) {
      void send(session, call(HEALTH), partial(MIB, 100)).then((answer) => answers.push(answer));
    }
    await until(() => answers.length === 16);
    expect(answers.every(({ status }) => status === "8")).toBe(true);
  });
});

describe("requests", () => {
  it("of more than a request may have are refused before they are there", async () => {
    const session = http2();
    expect(await send(session, call(WAIT, "hostile"), partial(2 ** 31, 100_000))).toEqual({ status: "8" });
  });

  it(
    "that are many, and none whole, take no more memory than they may",
    async () => {
      const before = memoryOf(daemon.test.pid);
      const chunk = partial(4 * MIB, 4 * MIB - 1);
      const sessions = Array.from({ length: 10 }, () => http2());
      let ended = 0;
      for (const session of sessions) {
        for (let count = 0; count < 40; count++) {
          void send(session, call(WAIT, "hostile"), chunk).then(() => ended++);
        }
      }
      await until(() => ended > 0, 60_000);
      await expectServed();
      expect(memoryOf(daemon.test.pid) - before).toBeLessThan(1200 * MIB);
    },
    120_000 * SLOW,
  );

  it.each([
    ["one huge value", constants.NGHTTP2_COMPRESSION_ERROR, { "x-huge": "x".repeat(200_000) }],
    [
      "many values",
      constants.NGHTTP2_ENHANCE_YOUR_CALM,
      Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`x-${at}`, "y"])),
    ],
  ])("with huge metadata are refused at once: %s", async (_, reset, metadata) => {
    const session = http2();
    const health = call(HEALTH, "hostile");
    expect(await send(session, health, partial(0, 0), true)).toEqual({ status: "0" });
    const huge = { ...health, ...metadata };
    expect(await send(session, huge, partial(0, 0), true)).toEqual({ status: undefined, reset });
  });

  it("that unpack to gigabytes are refused", async () => {
    const packed = gzipSync(Buffer.alloc(64 * MIB));
    const head = Buffer.alloc(5);
    head.writeUInt8(1, 0);
    head.writeUInt32BE(packed.length, 1);
    const session = http2();
    const headers = { ...call(WAIT, "hostile"), "grpc-encoding": "gzip" };
    expect(await send(session, headers, Buffer.concat([head, packed]))).toEqual({ status: "8" });
  });

  it("whose answers nobody reads hold up nobody", async () => {
    const session = http2();
    await new Promise((resolve) => session.once("connect", resolve));
    session.settings({ initialWindowSize: 0 });
    for (let count = 0; count < 1000; count++) {
      const stream = session.request({ ...call(HEALTH), authorization: "Bearer hostile" });
      stream.on("error", () => undefined);
      stream.end(partial(0, 0));
    }
    await expectServed();
  });
});

it("what a client sends reaches no terminal raw: neither by an answer nor by the log", async () => {
  const evil = "\x1b]0;owned\x07\x9b2J\u202e";
  const error = await failure(
    victim.configure({ allocId: "a", taskName: "t", command: "x", workDir: `/${evil}/..` }),
  );
  const user = await failure(
    daemon.test.client.configure({
      allocId: "a",
      taskName: "t",
      command: "x",
      env: { [`${evil}=`]: "secret-value" },
    }),
  );
  for (const text of [error.message, user.message, daemon.test.logged]) {
    // eslint-disable-next-line no-control-regex
    expect(text.replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
    expect(text).not.toContain("secret-value");
  }
});
