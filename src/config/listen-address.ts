import { isIP, isIPv4 } from "node:net";
import { resolve } from "node:path";

import { ConfigError } from "./config-error.js";

/** Where to listen. `text` is the address as clients take it. */
export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string; readonly text: string }
  | {
      readonly kind: "tcp";
      readonly host: string;
      readonly port: number;
      readonly tls: boolean;
      readonly text: string;
    };

/** Most bytes of a socket's path: sun_path less its NUL. Source: unix(7). */
const SOCKET_PATH_BYTES_MAX = 107;

const PORT_MAX = 65_535;

export function unixAddress(path: string): ListenAddress {
  const absolute = resolve(path);
  if (Buffer.byteLength(absolute) > SOCKET_PATH_BYTES_MAX) {
    throw new ConfigError(
      `--listen: a socket's path has at most ${SOCKET_PATH_BYTES_MAX} bytes: '${absolute}'`,
    );
  }
  return Object.freeze({ kind: "unix", path: absolute, text: `unix:${absolute}` });
}

/** How TCP is listened on: not at all; by TLS; without, on loopback, since the operator says so. */
export type TcpMode = "none" | "tls" | "insecure";

/**
 * Parses "unix:<path>" or "<host>:<port>". Plain TCP carries neither secrecy nor the caller's identity: only on
 * loopback, and only if `tcp` says so.
 */
export function parseListenAddress(text: string, tcp: TcpMode): ListenAddress {
  const unix = /^unix:(?:\/\/(?=\/))?(.+)$/s.exec(text)?.[1];
  if (unix !== undefined) {
    if (unix.includes("\0")) throw new ConfigError("--listen: a path holds a NUL byte");
    return unixAddress(unix);
  }
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? NaN);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || !(port <= PORT_MAX)) {
    throw new ConfigError(`--listen: neither unix:<path> nor <host>:<port>: '${text}'`);
  }
  if (tcp === "tls") return tcpAddress(checkLiteral(host, text), port, true);
  const loopback = loopbackAddress(host);
  if (loopback === undefined) {
    throw new ConfigError(
      `--listen: TCP is refused but on a loopback address, or with tls of the configuration file: '${text}'`,
    );
  }
  if (tcp === "none") {
    throw new ConfigError(
      `--listen: every user of this host could connect to '${text}'; --insecure-tcp accepts that`,
    );
  }
  return tcpAddress(loopback, port, false);
}

function tcpAddress(host: string, port: number, tls: boolean): ListenAddress {
  return Object.freeze({
    kind: "tcp",
    host,
    port,
    tls,
    text: `${host.includes(":") ? `[${host}]` : host}:${port}`,
  });
}

/** Names are not looked up: the answer could be any address, and another one tomorrow. */
function checkLiteral(host: string, text: string): string {
  if (host.toLowerCase() === "localhost") return "127.0.0.1";
  if (isIP(host) !== 0) return host;
  throw new ConfigError(`--listen: the host must be an IP address: '${text}'`);
}

/** "localhost" is not looked up: the answer could be any address. */
function loopbackAddress(host: string): string | undefined {
  if (host.toLowerCase() === "localhost") return "127.0.0.1";
  if (host === "::1") return host;
  return isIPv4(host) && host.startsWith("127.") ? host : undefined;
}
