/** The sockets that the server listens on; what comes in by them is handed to gRPC once it may speak HTTP/2. */
import { createServer, type Server, type Socket } from "node:net";

import {
  experimental,
  ServerCredentials,
  type ConnectionInjector,
  type Server as GrpcServer,
  type ServerInterceptor,
} from "@grpc/grpc-js";

import { Connections, localBounds } from "./access/connections.js";
import type { Guard } from "./access/guard.js";
import type { RemoteAccess } from "./access/remote.js";

/** A path, or the literal address and the port; port 0 is one that is free. */
export type Endpoint = { readonly path: string } | { readonly host: string; readonly port: number };

export class Listeners {
  private readonly servers = new Set<Server>();
  private unnamed = 0;

  constructor(
    private readonly grpc: GrpcServer,
    private readonly guard: Guard,
  ) {}

  /** Without encryption, for the local admin. Resolves with the port; 0 for a path. */
  async local(endpoint: Endpoint, connectionsMax: number): Promise<number> {
    const connections = new Connections(localBounds(connectionsMax));
    const injector = this.injectorFor(this.guard.local(connections));
    const server = createServer((socket) => {
      if ("path" in endpoint) this.name(socket);
      this.take(socket, connections, () => injector.injectConnection(socket));
    });
    return this.listen(server, endpoint);
  }

  /** By TLS. */
  async remote(endpoint: Endpoint, access: RemoteAccess): Promise<number> {
    // What it is given is decrypted already.
    const injector = this.injectorFor(this.guard.remote(access));
    const tls = access.serve((socket) => injector.injectConnection(socket));
    const server = createServer((socket) =>
      this.take(socket, access.connections, () => tls.emit("connection", socket)),
    );
    return this.listen(server, endpoint);
  }

  /** No more connections; those that are there stay. */
  close(): void {
    for (const server of this.servers) server.close();
    this.servers.clear();
  }

  private injectorFor(guard: ServerInterceptor): ConnectionInjector {
    return this.grpc.createConnectionInjector(
      experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [guard]),
    );
  }

  private take(socket: Socket, connections: Connections, use: () => void): void {
    socket.on("error", () => undefined);
    if (connections.admit(socket) === undefined) socket.destroy();
    else use();
  }

  /** By what gRPC tells of a call's connection, which is nothing for a unix socket's. */
  private name(socket: Socket): void {
    Object.defineProperties(socket, {
      remoteAddress: { value: "unix" },
      remotePort: { value: ++this.unnamed },
    });
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
