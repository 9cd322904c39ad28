/**
 * The connections of a listener. One that has not shown yet whose it is, by TLS or by a call, is given little time, and
 * makes way for others: so nobody who says nothing, or has no credentials, can take up what others need.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

import { TaskError } from "../../tasks/errors.js";
import type { ConnectionInfo } from "./connection-info.js";
import type { ClientCertificate } from "./certificate.js";
import { Pace } from "./pace.js";
import { Shares, type Share } from "./slices.js";
import { UnprovenConnections } from "./unproven.js";

/** How many connections over TLS may not have shown yet whose they are. */
const UNPROVEN_MAX = 64;

/** How many of its calls are refused before it is closed. */
const REFUSED_MAX = 32;

/** How long one that is to be closed has for its last answers, in milliseconds. */
const LAST_ANSWERS_MS = 1_000;

export class Connection {
  /** Undefined: the client has shown none, or one that does not hold any more. */
  certificate: ClientCertificate | undefined;
  /** The identity it counts for; undefined: it is unproven. */
  provenFor: string | undefined;
  /** Those that are not over; the oldest first. */
  readonly calls = new Set<{ end(error: unknown): void }>();
  /** Calls without credentials that are under way. */
  publicCalls = 0;
  /** It counts for nobody any more, though some of what it has sent may still be on its way. */
  over = false;
  private refused = 0;
  private tls: TLSSocket | undefined;

  constructor(
    private readonly socket: Socket,
    readonly address: string,
    /** Its address's until it is proven, then its identity's. */
    public share: Share,
  ) {}

  /** The handshake is done. */
  secured(tls: TLSSocket): void {
    this.tls = tls;
  }

  /** One of its calls had no valid credentials. */
  refuse(): void {
    this.refused++;
    if (this.provenFor === undefined && this.refused > REFUSED_MAX) this.close();
  }

  /** Ends so many of its calls, as of one who has gone. False: there are no more. */
  endCalls(count: number): boolean {
    let left = count;
    for (const call of this.calls) {
      if (left-- === 0) return true;
      this.calls.delete(call);
      call.end(new TaskError({ reason: "CALL_CANCELLED", message: "the caller has gone" }));
    }
    return false;
  }

  /** Soon: what has been answered still goes out. */
  closeSoon(): void {
    setTimeout(() => this.close(), LAST_ANSWERS_MS).unref();
  }

  close(): void {
    this.tls?.destroy();
    this.socket.destroy();
  }
}

/** How many connections there may be. */
export interface ConnectionBounds {
  /** Of those that have shown whose they are. */
  readonly proven: number;
  /** Of them, how many may be one identity's. */
  readonly provenForOne: number;
  /** Of those that have not yet, where so many have. */
  readonly unproven: (proven: number) => number;
  /** Undefined: an address may open them as fast as it can. */
  readonly pace: Pace | undefined;
}

/** Where anybody can come: who has shown nothing takes the place of none who has. */
export function remoteBounds(max: number): ConnectionBounds {
  return {
    proven: max,
    provenForOne: Math.max(1, Math.floor(max / 2)),
    unproven: () => UNPROVEN_MAX,
    pace: new Pace(),
  };
}

/** Where all are the local admin, who may well open many in one moment. */
export function localBounds(max: number): ConnectionBounds {
  return { proven: max, provenForOne: max, unproven: (proven) => max - proven, pace: undefined };
}

export class Connections {
  private readonly all = new Set<Connection>();
  /** By the addresses of their sockets: those over TCP. A unix socket has none, and nobody looks for one. */
  private readonly bySocket = new Map<string, Connection>();
  private readonly unproven = new UnprovenConnections<Connection>();
  /** How many each identity has, and all together. */
  private readonly proven = new Map<string, number>();
  private provenCount = 0;
  private readonly shares = new Shares();

  constructor(private readonly bounds: ConnectionBounds) {}

  /**
   * Undefined: there is no room for it, and it is to be closed.
   * @param address who counts as one that it comes from; undefined: it has gone already
   */
  admit(socket: Socket, address: string | undefined = socket.remoteAddress): Connection | undefined {
    if (address === undefined) return undefined;
    if (this.bounds.pace?.allows(address) === false) return undefined;
    if (!this.hasRoom) this.unproven.closeOne();
    if (!this.hasRoom) return undefined;
    const connection = new Connection(socket, address, this.shares.of(`address ${address}`));
    const key = keyOf(socket);
    this.all.add(connection);
    this.bySocket.set(key, connection);
    this.unproven.add(connection);
    socket.once("close", () => {
      this.all.delete(connection);
      this.bySocket.delete(key);
      connection.over = true;
      this.unproven.remove(connection);
      this.discount(connection);
      connection.close();
    });
    return connection;
  }

  /** By what TLS tells of the socket below it. */
  find(info: ConnectionInfo): Connection | undefined {
    return this.bySocket.get(keyOf(info));
  }

  /** False: there are too many already. */
  prove(connection: Connection, name: string): boolean {
    if (connection.over || connection.provenFor !== undefined) return true;
    const ofName = this.proven.get(name) ?? 0;
    if (this.provenCount >= this.bounds.proven || ofName >= this.bounds.provenForOne) return false;
    this.unproven.remove(connection);
    connection.provenFor = name;
    connection.share = this.shares.of(`identity ${name}`);
    this.proven.set(name, ofName + 1);
    this.provenCount++;
    return true;
  }

  /** Its credentials do not hold any more: it has to show others, or is closed. */
  doubt(connection: Connection): void {
    if (connection.provenFor === undefined) return;
    this.discount(connection);
    this.unproven.add(connection);
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.all.values();
  }

  private get hasRoom(): boolean {
    return this.unproven.count < this.bounds.unproven(this.provenCount);
  }

  private discount(connection: Connection): void {
    const name = connection.provenFor;
    if (name === undefined) return;
    connection.provenFor = undefined;
    this.provenCount--;
    const left = (this.proven.get(name) ?? 1) - 1;
    if (left > 0) this.proven.set(name, left);
    else this.proven.delete(name);
  }
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: ConnectionInfo): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
