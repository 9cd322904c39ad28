/** Who calls over TLS: by the certificate of the connection, or the token of the call. */
import { constants } from "node:crypto";
import {
  createSecureContext,
  createServer,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from "node:tls";

import type { Metadata } from "@grpc/grpc-js";

import type { Access, TlsMaterial } from "../../tasks/access/entry.js";
import { sameIdentity, type Identity } from "../../tasks/access/identity.js";
import { TaskError } from "../../tasks/errors.js";
import type { Log } from "../../tasks/ports.js";
import { clientCertificate, Trust } from "./certificate.js";
import { Connections, remoteBounds, type Connection } from "./connections.js";
import { digestOf, Directory } from "./directory.js";

/** How long a handshake may take, in milliseconds. */
const HANDSHAKE_MS = 5_000;

/** How often it is logged at most that calls are refused, in milliseconds. */
const REFUSALS_MS = 10_000;

/** RFC 6750, 2.1. */
const BEARER = /^bearer ([A-Za-z0-9._~+/-]{1,4096}=*)$/i;

/** By what a call was let in. */
export interface Credential {
  readonly identity: Identity;
  readonly shown: { readonly token: Buffer } | { readonly by: Connection };
}

export class RemoteAccess {
  readonly connections: Connections;
  private readonly servers = new Set<Server>();
  private directory: Directory;
  private trust: Trust;
  private material: TlsMaterial;
  private readonly refusals = { count: 0, loggedMs: -Infinity };

  /** Throws where certificates, keys and lists cannot be served with. */
  constructor(
    access: Access,
    maxConnections: number,
    private readonly log: Log,
  ) {
    this.connections = new Connections(remoteBounds(maxConnections));
    this.trust = checked(access.tls);
    this.material = access.tls;
    this.directory = new Directory(access.entries);
  }

  /** From now on. Throws as the constructor does; then all is as it was. */
  reload({ tls, entries }: Access): void {
    this.trust = checked(tls);
    this.material = tls;
    this.directory = new Directory(entries);
    for (const server of this.servers) server.setSecureContext(contextOf(tls));
    for (const connection of this.connections) this.review(connection);
  }

  /** A server of TLS; to be given connections by its event "connection". `take` gets those that may speak HTTP/2. */
  serve(take: (socket: TLSSocket, connection: Connection) => void): Server {
    const server = createServer({
      ...contextOf(this.material),
      ALPNProtocols: ["h2"],
      handshakeTimeout: HANDSHAKE_MS,
      // Whose certificates are taken, and whether there must be one, changes with a reload: `accepts` decides.
      requestCert: true,
      rejectUnauthorized: false,
    });
    server.on("secureConnection", (socket) => {
      socket.on("error", () => undefined);
      const connection = this.connections.find(socket);
      if (connection === undefined) {
        socket.destroy();
        return;
      }
      connection.secured(socket);
      if (socket.alpnProtocol === "h2" && this.accepts(connection, socket)) take(socket, connection);
      else connection.close();
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    this.servers.add(server);
    return server;
  }

  /** A token is judged by itself: a certificate makes up for none that is wrong. */
  identify(connection: Connection, metadata: Metadata): Credential | undefined {
    const given = metadata.get("authorization");
    if (given.length > 0) {
      // No handler has any use for it, and no log.
      metadata.remove("authorization");
      const token = digestOf(BEARER.exec(given.length === 1 ? String(given[0]) : "")?.[1] ?? "");
      const identity = this.directory.byToken(token);
      return identity === undefined ? undefined : { identity, shown: { token } };
    }
    const identity = this.byCertificate(connection);
    return identity === undefined ? undefined : { identity, shown: { by: connection } };
  }

  stillHolds({ identity, shown }: Credential): boolean {
    const now = "token" in shown ? this.directory.byToken(shown.token) : this.byCertificate(shown.by);
    return sameIdentity(identity, now);
  }

  /** One answer to all, so that nobody learns what was wrong. */
  refusal(): TaskError {
    return new TaskError({
      reason: "CREDENTIALS_REFUSED",
      message: "a valid certificate or token is required",
    });
  }

  /** The same; the operator hears of it. */
  refuse({ address }: Connection): TaskError {
    this.refusals.count++;
    if (performance.now() - this.refusals.loggedMs >= REFUSALS_MS) {
      this.log.info("refused calls without valid credentials", { count: this.refusals.count, last: address });
      this.refusals.count = 0;
      this.refusals.loggedMs = performance.now();
    }
    return this.refusal();
  }

  private accepts(connection: Connection, socket: TLSSocket): boolean {
    const certificate = this.material.clientCa === undefined ? undefined : clientCertificate(socket);
    if (certificate === undefined) return this.directory.hasTokens;
    // The handshake may have been one with files that are not in force any more.
    if (!socket.authorized || !this.trust.holds(certificate)) return false;
    connection.certificate = certificate;
    const identity = this.byCertificate(connection);
    return identity === undefined || this.connections.prove(connection, identity.name);
  }

  private byCertificate({ certificate }: Connection): Identity | undefined {
    if (certificate === undefined || certificate.notAfterMs <= Date.now()) return undefined;
    return this.directory.byCertificate(certificate.names);
  }

  private review(connection: Connection): void {
    const { certificate, provenFor } = connection;
    if (certificate !== undefined && !this.trust.holds(certificate)) connection.certificate = undefined;
    const lost = certificate !== undefined && this.byCertificate(connection) === undefined;
    const unknown = provenFor !== undefined && !this.directory.has(provenFor);
    if (lost || unknown) this.connections.doubt(connection);
  }
}

/** Throws where certificates, keys and lists cannot be served with; what it says is no secret. */
export function checkTls(material: TlsMaterial): void {
  checked(material);
}

function checked(material: TlsMaterial): Trust {
  createSecureContext(contextOf(material));
  return new Trust(material);
}

function contextOf({ cert, key, clientCa, crl }: TlsMaterial): SecureContextOptions {
  return {
    cert,
    key,
    ...(clientCa === undefined ? {} : { ca: clientCa }),
    ...(crl === undefined ? {} : { crl }),
    minVersion: "TLSv1.2",
    // A session that is resumed would be one whose certificate nobody has looked at again.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}
