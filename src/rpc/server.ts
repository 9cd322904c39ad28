/** The gRPC server: which services, on which addresses. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";

import { ExecutorServiceService } from "../gen/executor/v1/executor.js";
import type { Executor } from "../tasks/executor.js";
import { executorService } from "./service.js";

const SERVICE_NAME = "executor.v1.ExecutorService";

/** Largest request, in bytes. Start's arguments and environment come out of one Configure. */
const MESSAGE_BYTES_MAX = 4 * 2 ** 20;

export class RpcServer {
  private readonly server = new Server({
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_concurrent_streams": 4096,
  });
  private readonly health = new HealthImplementation({ "": "NOT_SERVING", [SERVICE_NAME]: "NOT_SERVING" });

  constructor(executor: Executor, report: (error: unknown) => void) {
    this.server.addService(ExecutorServiceService, executorService(executor, report));
    this.health.addToServer(this.server);
  }

  /**
   * Listens without encryption: on a unix socket, whose file the caller guards, or on
   * loopback. Resolves with the port (1 for a unix socket).
   * @param address "unix:<path>" or "<host>:<port>"
   */
  listen(address: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
  }

  /** Says by the health service whether tasks can be taken. */
  setServing(serving: boolean): void {
    const status = serving ? "SERVING" : "NOT_SERVING";
    this.health.setStatus("", status);
    this.health.setStatus(SERVICE_NAME, status);
  }

  /** Answers what is under way, for `graceMs` at most, and closes every connection. */
  stop(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
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
  }
}
