/** The sockets that the server listens on; what comes in by them is handed to gRPC once it may speak HTTP/2. */
import { createServer, type Server, type Socket } from "node:net";

import { experimental, ServerCredentials, type Server as GrpcServer } from "@grpc/grpc-js";

import { FrameGate } from "./access/frame-gate.js";
import type { Guard } from "./access/guard.js";
import type { RemoteAccess } from "./access/remote.js";
import { Slices } from "./access/slices.js";

/** A path, or the literal address and the port; port 0 is one that is free. */
export type Endpoint = { readonly path: string } | { readonly host: string; readonly port: number };

export class Listeners {
  private readonly servers = new Set<Server>();
  private readonly slices = new Slices();

  constructor(
    private readonly grpc: GrpcServer,
    private readonly guard: Guard,
  ) {}

  /** Without encryption, for the local admin. Resolves with the port; 0 for a path. */
  async local(endpoint: Endpoint, connectionsMax: number): Promise<number> {
    const injector = this.grpc.createConnectionInjector(
      experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [
        this.guard.local(),
      ]),
    );
    const server = createServer((socket) => injector.injectConnection(socket));
    server.maxConnections = connectionsMax;
    return this.listen(server, endpoint);
  }

  /** By TLS. */
  async remote(endpoint: Endpoint, access: RemoteAccess): Promise<number> {
    const tls = access.serve((socket, connection) => {
      const injector = this.grpc.createConnectionInjector(
        // What it is given is decrypted already.
        experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [
          this.guard.remote(access, connection),
        ]),
      );
      const gate = new FrameGate(socket, this.slices, connection);
      gate.once("close", () => injector.destroy());
      injector.injectConnection(gate);
    });
    const server = createServer((socket: Socket) => {
      socket.on("error", () => undefined);
      if (access.connections.admit(socket) === undefined) socket.destroy();
      else tls.emit("connection", socket);
    });
    return this.listen(server, endpoint);
  }

  /** No more connections; those that are there stay. */
  close(): void {
    for (const server of this.servers) server.close();
    this.servers.clear();
  }

  private listen(server: Server, endpoint: Endpoint): Promise<number> {
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(endpoint, () => {
        server.off("error", reject);
        // A connection that cannot be taken, for want of a descriptor, is no reason to take none.
        server.on("error", () => undefined);
        this.servers.add(server);
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
  }
}
