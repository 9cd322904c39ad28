/**
 * Connections over TLS. One that has not shown yet whose it is counts among few, is given little time, and makes way
 * for others: so nobody without credentials can take up what those with some need.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

import { TaskError } from "../../tasks/errors.js";
import type { ConnectionInfo } from "./connection-info.js";
import type { ClientCertificate } from "./certificate.js";
import { Pace } from "./pace.js";
import { Shares, type Share } from "./slices.js";

/** How many connections may not have shown yet whose they are. */
const UNPROVEN_MAX = 64;

/** How long one may take to, from its first byte on: TLS, and the first call with credentials. In milliseconds. */
const PROOF_MS = 10_000;

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
  deadline: NodeJS.Timeout | undefined;
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

export class Connections {
  private readonly all = new Map<string, Connection>();
  /** In the order in which they came. */
  private readonly unproven = new Set<Connection>();
  private readonly proven = new Map<string, number>();
  private readonly pace = new Pace();
  private readonly shares = new Shares();

  /** @param max how many may have shown whose they are; one identity has half of them at most */
  constructor(private readonly max: number) {}

  /** Undefined: there is no room for it, and it is to be closed. */
  admit(socket: Socket): Connection | undefined {
    const { remoteAddress: address } = socket;
    // It has gone already.
    if (address === undefined) return undefined;
    if (!this.pace.allows(address)) return undefined;
    if (this.unproven.size >= UNPROVEN_MAX) this.makeRoom();
    const key = keyOf(socket);
    const connection = new Connection(socket, address, this.shares.of(`address ${address}`));
    this.all.set(key, connection);
    this.await(connection);
    socket.once("close", () => {
      this.all.delete(key);
      connection.over = true;
      this.settle(connection);
      this.discount(connection);
      connection.close();
    });
    return connection;
  }

  find(info: ConnectionInfo): Connection | undefined {
    return this.all.get(keyOf(info));
  }

  /** False: there are too many already. */
  prove(connection: Connection, name: string): boolean {
    if (connection.provenFor !== undefined) return true;
    const ofName = this.proven.get(name) ?? 0;
    const total = [...this.proven.values()].reduce((sum, count) => sum + count, 0);
    if (total >= this.max || ofName >= Math.max(1, Math.floor(this.max / 2))) return false;
    this.settle(connection);
    connection.provenFor = name;
    connection.share = this.shares.of(`identity ${name}`);
    this.proven.set(name, ofName + 1);
    return true;
  }

  /** Its credentials do not hold any more: it has to show others, or is closed. */
  doubt(connection: Connection): void {
    if (connection.provenFor === undefined) return;
    this.discount(connection);
    this.await(connection);
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.all.values();
  }

  private await(connection: Connection): void {
    this.unproven.add(connection);
    connection.deadline = setTimeout(() => connection.close(), PROOF_MS).unref();
  }

  private settle(connection: Connection): void {
    this.unproven.delete(connection);
    clearTimeout(connection.deadline);
  }

  private discount(connection: Connection): void {
    const name = connection.provenFor;
    if (name === undefined) return;
    connection.provenFor = undefined;
    const left = (this.proven.get(name) ?? 1) - 1;
    if (left > 0) this.proven.set(name, left);
    else this.proven.delete(name);
  }

  /** The oldest of the address that has most: a flood drives out its own. */
  private makeRoom(): void {
    const byAddress = new Map<string, Connection[]>();
    for (const connection of this.unproven) {
      const same = byAddress.get(connection.address) ?? [];
      byAddress.set(connection.address, [...same, connection]);
    }
    const [most] = [...byAddress.values()].sort((one, other) => other.length - one.length);
    const [oldest] = most ?? [];
    if (oldest === undefined) return;
    this.settle(oldest);
    oldest.close();
  }
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: ConnectionInfo): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
