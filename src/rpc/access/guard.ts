/**
 * Stands before every call, from its headers on: who calls, and may they? What is refused here has taken no message
 * and reached no handler.
 */
import {
  ServerInterceptingCall,
  type Metadata,
  type ServerInterceptor,
  type ServerListener,
} from "@grpc/grpc-js";

import { callerOf, LOCAL_ADMIN, type Caller } from "../../tasks/access/identity.js";
import { checkRight } from "../../tasks/access/rules.js";
import { TaskError } from "../../tasks/errors.js";
import { toServiceError } from "../status.js";
import { setCaller } from "./callers.js";
import type { Connection, Connections } from "./connections.js";
import { Receiving, type Receiver } from "./receiving.js";
import type { Credential, RemoteAccess } from "./remote.js";
import { rightFor } from "./rights.js";

/** How many calls without credentials one connection may have under way. */
const PUBLIC_CALLS_MAX = 4;

type NextCall = Parameters<ServerInterceptor>[1];
type Method = Parameters<ServerInterceptor>[0];

/** What lets a call in, and is given back at its end. */
interface Admitted {
  readonly holder: string;
  readonly release: () => void;
}

/** Throws a TaskError for whom it does not let in. */
type Admit = (call: GuardedCall, metadata: Metadata) => Admitted;

export class Guard {
  /** How many calls each caller has under way, by name; the local admin has none. */
  private readonly counts = new Map<string, number>();
  private readonly receiving = new Receiving();
  private readonly open = new Set<GuardedCall>();
  /** Those whose caller has shown credentials. */
  private readonly shown = new Map<GuardedCall, Credential>();

  /** @param callsMax how many calls one caller may have under way */
  constructor(private readonly callsMax: number) {}

  /** For a connection that is the local admin's. */
  local(connections: Connections, connection: Connection): ServerInterceptor {
    return this.interceptor(connection, (call, metadata) => {
      connections.prove(connection, "");
      return this.enter(call, metadata, LOCAL_ADMIN, "");
    });
  }

  /** For one that anybody can have made. */
  remote(access: RemoteAccess, connection: Connection): ServerInterceptor {
    return this.interceptor(connection, (call, metadata) => {
      if (connection.over) throw access.refusal();
      const right = rightFor(call.path);
      if (right === "anybody") return this.enterAsAnybody(connection);
      const credential = access.identify(connection, metadata);
      if (credential === undefined) {
        connection.refuse();
        throw access.refuse(connection);
      }
      const { identity } = credential;
      if (!access.connections.prove(connection, identity.name)) {
        connection.closeSoon();
        throw new TaskError({
          reason: "TOO_MANY_CONNECTIONS",
          message: "there are as many connections as there may be",
        });
      }
      const admitted = this.enter(call, metadata, callerOf(identity), identity.name);
      this.shown.set(call, credential);
      return admitted;
    });
  }

  /** Ends the calls of those whose credentials do not hold any more. */
  recheck(access: RemoteAccess): void {
    for (const [call, credential] of this.shown) {
      if (!access.stillHolds(credential)) call.end(access.refusal());
    }
  }

  /** Ends the calls that are not over, as those of services do that know no end of their own. */
  endAll(error: unknown): void {
    for (const call of this.open) call.end(error);
  }

  private interceptor(connection: Connection, admit: Admit): ServerInterceptor {
    return (method, next) => {
      const over = (call: GuardedCall): void => {
        this.open.delete(call);
        connection.calls.delete(call);
        this.shown.delete(call);
        if (!call.answered) connection.share.waste();
      };
      const call = new GuardedCall(method, next, admit, this.receiving, over);
      this.open.add(call);
      connection.calls.add(call);
      return call;
    };
  }

  private enter(call: GuardedCall, metadata: Metadata, caller: Caller, holder: string): Admitted {
    const right = rightFor(call.path);
    if (right !== "anybody") checkRight(caller, right);
    const count = this.counts.get(holder) ?? 0;
    if (count >= this.callsMax) {
      throw new TaskError({
        reason: "TOO_MANY_CALLS",
        message: `${this.callsMax} calls of this caller are under way, which is as many as there may be`,
      });
    }
    this.counts.set(holder, count + 1);
    setCaller(metadata, caller);
    return { holder, release: () => this.leave(holder) };
  }

  private leave(holder: string): void {
    const left = (this.counts.get(holder) ?? 1) - 1;
    if (left > 0) this.counts.set(holder, left);
    else this.counts.delete(holder);
  }

  private enterAsAnybody(connection: Connection): Admitted {
    if (connection.publicCalls >= PUBLIC_CALLS_MAX) {
      connection.refuse();
      throw new TaskError({
        reason: "TOO_MANY_CALLS",
        message: `${PUBLIC_CALLS_MAX} calls of this connection are under way, which is as many as there may be`,
      });
    }
    connection.publicCalls++;
    return { holder: connection.address, release: () => connection.publicCalls-- };
  }
}

class GuardedCall extends ServerInterceptingCall implements Receiver {
  private admitted: Admitted | undefined;
  /** Whether its handler has given it its status. */
  answered = false;

  constructor(
    private readonly method: Method,
    private readonly next: NextCall,
    admit: Admit,
    private readonly receiving: Receiving,
    over: (call: GuardedCall) => void,
  ) {
    const listener: ServerListener = {
      onReceiveMetadata: (metadata, goOn) => {
        try {
          this.admitted = admit(this, metadata);
        } catch (error) {
          this.end(error);
          return;
        }
        // Of a stream of requests nobody knows when the next one comes.
        if (!method.requestStream) receiving.begin(this);
        goOn(metadata);
      },
      onReceiveHalfClose: (goOn) => {
        receiving.end(this);
        goOn();
      },
      onCancel: () => {
        receiving.end(this);
        over(this);
        this.admitted?.release();
        this.admitted = undefined;
      },
    };
    super(next, { start: (goOn) => goOn(listener) });
  }

  get path(): string {
    return this.method.path;
  }

  get holder(): string {
    return this.admitted?.holder ?? "";
  }

  override sendStatus(status: Parameters<ServerInterceptingCall["sendStatus"]>[0]): void {
    this.answered = true;
    super.sendStatus(status);
  }

  /** Answers it, whatever its handler does. */
  end(error: unknown): void {
    this.receiving.end(this);
    const { code, details, metadata } = toServiceError(error);
    this.next.sendStatus({ code, details, metadata });
  }
}
