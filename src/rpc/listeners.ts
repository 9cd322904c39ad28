/** The sockets that the server listens on; what comes in by them is handed to gRPC once it may speak HTTP/2. */
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";

import {
  experimental,
  ServerCredentials,
  type Server as GrpcServer,
  type ServerInterceptor,
} from "@grpc/grpc-js";

import { Connections, localBounds, type Connection } from "./access/connections.js";
import { FrameGate } from "./access/frame-gate.js";
import type { Guard } from "./access/guard.js";
import type { RemoteAccess } from "./access/remote.js";
import { Slices } from "./access/slices.js";

/** A path, or the literal address and the port; port 0 is one that is free. */
export type Endpoint = { readonly path: string } | { readonly host: string; readonly port: number };

export class Listeners {
  private readonly servers = new Set<Server>();
  private readonly slices = new Slices();
  private readonly connections = new Set<Connections>();

  constructor(
    private readonly grpc: GrpcServer,
    private readonly guard: Guard,
  ) {}

  /** Without encryption, for the local admin. Resolves with the port; 0 for a path. */
  async local(endpoint: Endpoint, connectionsMax: number): Promise<number> {
    const connections = new Connections(localBounds(connectionsMax));
    this.connections.add(connections);
    // All who come by a path are one.
    const address = "path" in endpoint ? "unix" : undefined;
    const server = createServer((socket) => {
      const connection = this.take(connections, socket, address);
      if (connection === undefined) return;
      // One that says nothing costs no HTTP/2.
      socket.once("readable", () => {
        if (socket.readableLength > 0) this.inject(socket, this.guard.local(connections, connection));
      });
    });
    return this.listen(server, endpoint);
  }

  /** By TLS. */
  async remote(endpoint: Endpoint, access: RemoteAccess): Promise<number> {
    this.connections.add(access.connections);
    const tls = access.serve((socket, connection) => {
      const gate = new FrameGate(socket, this.slices, connection);
      this.inject(gate, this.guard.remote(access, connection));
    });
    const server = createServer((socket) => {
      if (this.take(access.connections, socket) !== undefined) tls.emit("connection", socket);
    });
    return this.listen(server, endpoint);
  }

  /** No more connections; those that are there stay. */
  close(): void {
    for (const server of this.servers) server.close();
    this.servers.clear();
  }

  /** Those that are there, whether or not they have said anything. */
  closeConnections(): void {
    for (const connections of this.connections) for (const connection of connections) connection.close();
  }

  /** Undefined: it is closed. */
  private take(connections: Connections, socket: Socket, address?: string): Connection | undefined {
    socket.on("error", () => undefined);
    const connection = connections.admit(socket, address);
    if (connection === undefined) socket.destroy();
    return connection;
  }

  /** Gives gRPC a connection, decrypted, and of which the guard knows whose it is. */
  private inject(socket: Duplex, guard: ServerInterceptor): void {
    const injector = this.grpc.createConnectionInjector(
      experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [guard]),
    );
    socket.once("close", () => injector.destroy());
    injector.injectConnection(socket);
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
