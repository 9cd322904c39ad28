/** Whom an attacker is set on: the daemon, or a bare sink that takes the same and does nothing with it. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

import { PREFACE } from "../../test/support/http2-frames.js";

/** Goes to the attacker as JSON. */
export interface Target {
  /** Path of the unix socket. */
  readonly path: string;
  /** Where TLS is spoken, on loopback. */
  readonly port: number;
  /** PEM. */
  readonly ca: string;
  readonly token: string;
  /** A task that runs, of the attacker's own, and one that writes without pause. */
  readonly running: string;
  readonly loud: string;
}

export type Way = "tls" | "unix";

/** The name in the server's certificate. */
export const SERVER_NAME = "stockaded.bench";

/** Where attackers come from: not where anybody else does. */
const ELSEWHERE = "127.0.0.66";

/** A connection without a word said. */
export function open({ path, port }: Target, way: Way): Socket {
  const socket = connectTcp(way === "unix" ? { path } : { port, host: "127.0.0.1", localAddress: ELSEWHERE });
  return socket.on("error", () => undefined);
}

/** One that HTTP/2 can be spoken over; it is so from its event "connect" or "secureConnect" on. */
export function transport(target: Target, way: Way): Socket {
  if (way === "unix") return open(target, "unix");
  const { ca } = target;
  const socket = connectTls({
    ca,
    servername: SERVER_NAME,
    ALPNProtocols: ["h2"],
    socket: open(target, "tls"),
  });
  return socket.on("error", () => undefined);
}

/** Resolves with one that has begun HTTP/2, or is closed. */
export async function begun(target: Target, way: Way): Promise<Socket> {
  const socket = transport(target, way).resume();
  await first(socket, way === "unix" ? "connect" : "secureConnect");
  if (!socket.destroyed) socket.write(PREFACE);
  return socket;
}

/** Resolves at an event, or when the socket is closed. */
export function first(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) {
      resolve();
      return;
    }
    const done = (): void => {
      socket.off(event, done).off("close", done);
      resolve();
    };
    socket.on(event, done).on("close", done);
  });
}

/** Resolves when the socket has room for more, or is closed. */
export async function sent(socket: Socket, bytes: Buffer): Promise<void> {
  if (!socket.destroyed && !socket.write(bytes)) await first(socket, "drain");
}
