/** How a daemon is reached: where, and by what it knows who calls. */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { PeerCertificate } from "node:tls";

import {
  credentials,
  Metadata,
  type ChannelCredentials,
  type ChannelOptions,
  type VerifyOptions,
} from "@grpc/grpc-js";

import { CHANNEL_OPTIONS } from "./channel-options.js";

export interface TlsOptions {
  /** Certificates, in PEM, of those whose servers are trusted; absent: those that Node brings. */
  readonly ca?: string | Uint8Array;
  /** The client's own certificate, in PEM, its chain after it. With `key`, or not at all. */
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  /** The name, or the IP address, that the server's certificate must have; absent: the host of the address. */
  readonly serverName?: string;
}

export interface ConnectOptions {
  /** "unix:<path>" or "<host>:<port>". */
  readonly address: string;
  /** Absent: no encryption, which a daemon offers on unix sockets and on loopback alone. */
  readonly tls?: TlsOptions;
  /** Shows who calls; never sent without encryption but to this host itself. */
  readonly token?: string;
  /**
   * How long a call that changes nothing, or the same when it is repeated, is made again after it was first cut off,
   * because connection or daemon have gone, in milliseconds. Default: 10,000 of `connect`; 0 of the class.
   */
  readonly retryMs?: number;
}

export interface ChannelParts {
  readonly address: string;
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
  /** What each call carries. */
  readonly metadata: () => Metadata;
}

/** With a scheme of gRPC's, or host and port: a path alone would be looked up as a name, for as long as it takes. */
const ADDRESS = /^(unix|unix-abstract|dns|ipv4|ipv6|xds):.|^([^:/[\]]+|\[[^/[\]]+\]):[0-9]+$/i;

/** Throws a TypeError for options that cannot go together, or be. */
export function channelParts({ address, tls, token }: ConnectOptions): ChannelParts {
  if (!ADDRESS.test(address)) {
    throw new TypeError(`an address is unix:<path> or <host>:<port>: ${JSON.stringify(address)}`);
  }
  if (token !== undefined && tls === undefined && !isOnThisHost(address)) {
    throw new TypeError("a token is not sent without tls, but on a unix socket or loopback");
  }
  if (token !== undefined && !/^[A-Za-z0-9._~+/-]+=*$/.test(token)) {
    throw new TypeError("a token is made of A-Z a-z 0-9 . _ ~ + / -, and = at its end");
  }
  return {
    address,
    ...(tls === undefined
      ? { credentials: credentials.createInsecure(), options: CHANNEL_OPTIONS }
      : overTls(address, tls)),
    metadata: () => {
      const metadata = new Metadata();
      if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
      return metadata;
    },
  };
}

/** What is asked of a server by its address: SNI has names alone (RFC 6066, 3), and this one is nobody's (RFC 6761, 6.4). */
const NO_NAME = "address.invalid";

function overTls(
  address: string,
  { ca, cert, key, serverName }: TlsOptions,
): Pick<ChannelParts, "credentials" | "options"> {
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError("tls.cert and tls.key are given together, or not at all");
  }
  const trusting = (verified: VerifyOptions): ChannelCredentials =>
    credentials.createSsl(bytes(ca), bytes(key), bytes(cert), verified);
  const asking = (name: string): ChannelOptions => ({
    ...CHANNEL_OPTIONS,
    "grpc.ssl_target_name_override": name,
  });
  const server = serverName ?? hostOf(address);
  if (isIP(server) !== 0) {
    const checkServerIdentity = (_asked: string, shown: PeerCertificate): Error | undefined =>
      checkAddress(server, shown);
    return { credentials: trusting({ checkServerIdentity }), options: asking(NO_NAME) };
  }
  return {
    credentials: trusting({}),
    options: serverName === undefined ? CHANNEL_OPTIONS : asking(serverName),
  };
}

/** By OpenSSL: Node's own check takes an IPv6 address for a name (20.19). */
function checkAddress(address: string, shown: PeerCertificate): Error | undefined {
  if (new X509Certificate(shown.raw).checkIP(address) !== undefined) return undefined;
  return new Error(
    `${address} is none of the certificate's altnames: ${shown.subjectaltname ?? "it has none"}`,
  );
}

/** Of "<host>:<port>"; that of an IPv6 address without its brackets. */
function hostOf(address: string): string {
  const host = address.replace(/:[0-9]+$/, "");
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}

function bytes(pem: string | Uint8Array | undefined): Buffer | null {
  if (pem === undefined) return null;
  return typeof pem === "string" ? Buffer.from(pem) : Buffer.from(pem);
}

function isOnThisHost(address: string): boolean {
  return /^(unix(-abstract)?:|(localhost|127(\.[0-9]{1,3}){3}|\[::1\]):[0-9]+$)/i.test(address);
}
