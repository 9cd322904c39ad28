/** Between a client and a daemon: passes bytes on, and cuts each connection after as many as it is told. */
import { createServer, connect, type Server, type Socket } from "node:net";
import { once } from "node:events";

export class CuttingProxy implements AsyncDisposable {
  /** How many connections it has cut. */
  cuts = 0;
  /** How many there have been. */
  connections = 0;
  private losing = false;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly address: string,
  ) {}

  /**
   * @param path of the daemon's socket; the proxy's own is beside it
   * @param bytesUntilCut asked at each connection; of what the daemon sends. Infinity: never
   */
  static async start(path: string, bytesUntilCut: () => number): Promise<CuttingProxy> {
    const own = `${path}.proxy`;
    const server = createServer();
    const proxy = new CuttingProxy(server, `unix:${own}`);
    server.on("connection", (client) => proxy.join(client, connect(path), bytesUntilCut()));
    server.listen(own);
    await once(server, "listening");
    return proxy;
  }

  /** Cuts all connections now. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
    this.cuts++;
  }

  /** Cuts a connection as the daemon next sends something on it, which is lost. */
  loseNext(): void {
    this.losing = true;
  }

  private join(client: Socket, daemon: Socket, bytes: number): void {
    this.connections++;
    let left = bytes;
    const end = (): void => {
      client.destroy();
      daemon.destroy();
    };
    for (const socket of [client, daemon]) {
      this.sockets.add(socket);
      socket.on("error", end).on("close", end);
    }
    client.pipe(daemon);
    daemon.on("data", (data) => {
      if (this.losing) left = 0;
      this.losing = false;
      const passed = data.subarray(0, left);
      left -= passed.length;
      if (!client.write(passed)) {
        daemon.pause();
        client.once("drain", () => daemon.resume());
      }
      if (left > 0) return;
      this.cuts++;
      // What has been passed on is to arrive.
      client.end();
      daemon.destroy();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
