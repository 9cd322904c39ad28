/** The gRPC server: which services, on which addresses, for whom. */
import { Server, type ServerOptions } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";

import type { Access } from "../tasks/access/entry.js";
import { settledIn } from "../tasks/concurrency/settled-in.js";
import type { Executor } from "../tasks/executor.js";
import type { Log } from "../tasks/ports.js";
import type { ServerInfoSource } from "../tasks/server-info.js";
import { Guard } from "./access/guard.js";
import { RemoteAccess } from "./access/remote.js";
import { Calls } from "./calls.js";
import { Listeners, type Endpoint } from "./listeners.js";
import { reflectionService } from "./reflection.js";
import { SERVICE } from "./service-definition.js";
import { executorService } from "./service.js";
import { StreamSlots } from "./stream-slots.js";

const SERVICE_NAME = "executor.v1.ExecutorService";

/** Largest request, in bytes. Start's arguments and environment come out of one Configure. */
const MESSAGE_BYTES_MAX = 4 * 2 ** 20;

/** How long calls may take that wait for nothing any more but the kernel, in milliseconds. */
const ANSWER_MS = 5_000;

/** How long an answer to a ping is waited for: a part of the time between two, but this at least, in milliseconds. */
const PING_PART = 1 / 3;
const PING_MS_MIN = 1_000;

/** What one client can take up is bounded, too, by access/guard.ts and access/connections.ts. */
const OPTIONS = {
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
  // One connection carries a Wait for each of an orchestrator's tasks.
  "grpc.max_concurrent_streams": 4096,
  // Megabytes that HTTP/2 may hold of one connection, headers and what is not sent yet; grpc-js has no limit.
  "grpc-node.max_session_memory": 64,
  // Statistics that nobody can ask for, kept of each connection.
  "grpc.enable_channelz": 0,
};

export interface ServerParts {
  readonly executor: Executor;
  readonly info: ServerInfoSource;
  readonly log: Log;
  /** Of each listener without TLS, and of all with it together. */
  readonly connectionsMax: number;
  /** Of each caller. */
  readonly callsMax: number;
  /** How often each connection is pinged. */
  readonly keepaliveMs: number;
  /** How many streams may be open at one time, of all callers. */
  readonly streamsMax: number;
  /** Undefined: nothing listens with TLS. */
  readonly access: Access | undefined;
}

export class RpcServer {
  private readonly server: Server;
  private readonly health = new HealthImplementation({ "": "NOT_SERVING", [SERVICE_NAME]: "NOT_SERVING" });
  private readonly guard: Guard;
  private readonly listeners: Listeners;
  private readonly remote: RemoteAccess | undefined;

  /** Resolves when those calls have been answered that were under way when no call was to wait any more. */
  private answered: Promise<void> = Promise.resolve();

  /** Throws where `access` cannot be served with. */
  constructor(private readonly parts: ServerParts) {
    const { executor, info, log, access } = parts;
    this.server = new Server({ ...OPTIONS, ...keepalive(parts.keepaliveMs) });
    const slots = new StreamSlots(parts.streamsMax);
    const calls = new Calls();
    const endCalls = (): void => {
      this.answered = calls.endAll(executor.ends.reason);
    };
    executor.ends.addEventListener("abort", endCalls, { once: true });
    const report = (error: unknown): void => log.error("internal error", { error });
    this.server.addService(SERVICE, executorService(executor, info, { calls, report, slots }));
    this.health.addToServer(this.server);
    reflectionService().addToServer(this.server);
    this.guard = new Guard(parts.callsMax);
    this.listeners = new Listeners(this.server, this.guard);
    this.remote = access === undefined ? undefined : new RemoteAccess(access, parts.connectionsMax, log);
  }

  /**
   * Listens without encryption: on a unix socket, whose file the caller guards, or on loopback. Whoever gets through is
   * an admin. Resolves with the port; 0 for a unix socket.
   */
  listenLocally(endpoint: Endpoint): Promise<number> {
    return this.listeners.local(endpoint, this.parts.connectionsMax);
  }

  /** Listens with TLS, for those whom `access` names. Resolves with the port. */
  listenWithTls(endpoint: Endpoint): Promise<number> {
    if (this.remote === undefined) throw new Error("nobody could be told apart");
    return this.listeners.remote(endpoint, this.remote);
  }

  /**
   * From now on `access` is in force. Who is in it no more, or as another, has its calls ended; all others go on. Throws
   * where it cannot be served with; all is as it was then.
   */
  reload(access: Access): void {
    if (this.remote === undefined) return;
    this.remote.reload(access);
    this.guard.recheck(this.remote);
  }

  /** Says by the health service whether tasks can be taken. */
  setServing(serving: boolean): void {
    const status = serving ? "SERVING" : "NOT_SERVING";
    this.health.setStatus("", status);
    this.health.setStatus(SERVICE_NAME, status);
  }

  /** Answers what is under way, and closes every connection, `graceMs` later at the latest. */
  async stop(graceMs: number): Promise<void> {
    await settledIn([this.answered], ANSWER_MS);
    this.listeners.close();
    // Who watches health, or is told of the API, would do so for ever.
    this.guard.endAll(this.parts.executor.ends.reason);
    await new Promise<void>((resolve) => {
      // tryShutdown waits also for connections that have never said anything.
      const force = setTimeout(() => {
        this.server.forceShutdown();
        resolve();
      }, graceMs);
      this.server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
    this.listeners.closeConnections();
  }
}

/** Who does not answer a ping has gone, without a word: its connection, and its calls, go as well. */
function keepalive(everyMs: number): ServerOptions {
  return {
    "grpc.keepalive_time_ms": everyMs,
    "grpc.keepalive_timeout_ms": Math.max(PING_MS_MIN, everyMs * PING_PART),
  };
}
