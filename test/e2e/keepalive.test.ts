/** Clients that have gone without a word, as when their host has lost its power: nothing of them stays. */
import { connect as connectTcp, createServer, type NetConnectOpts, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { join } from "node:path";

import { connect, StockadeClient } from "../../src/client";
import { sha256 } from "../support/certificates";
import { descriptors, failure, until } from "../support/daemon";
import { RemoteDaemon, SERVER_NAME } from "../support/remote-daemon";

const NOBODY = "CGROUP:/x/00000000-0000-7000-8000-000000000000";
const CALLS_MAX = 16;

/** Between a client and a daemon, until the client is not there any more. */
class Relay implements AsyncDisposable {
  private readonly pairs: { client: Socket; daemon: Socket }[] = [];

  private constructor(private readonly server: Server) {}

  static async start(to: NetConnectOpts, on: { path: string } | { host: string; port: 0 }): Promise<Relay> {
    const server = createServer();
    const relay = new Relay(server);
    server.on("connection", (client) => relay.join(client, connectTcp({ ...to, allowHalfOpen: true })));
    server.listen(on);
    await once(server, "listening");
    return relay;
  }

  get address(): string {
    const address = this.server.address();
    return typeof address === "string" ? `unix:${address}` : `127.0.0.1:${address?.port}`;
  }

  /** Of what the daemon sends nothing is read any more, and nothing more comes: no word of an end, either. */
  vanish(): void {
    for (const { client, daemon } of this.pairs) {
      client.unpipe(daemon).pause();
      daemon.unpipe(client).pause();
    }
  }

  private join(client: Socket, daemon: Socket): void {
    this.pairs.push({ client, daemon });
    for (const socket of [client, daemon]) socket.on("error", () => undefined);
    client.pipe(daemon).pipe(client);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client, daemon } of this.pairs) {
      client.destroy();
      daemon.destroy();
    }
    await new Promise((resolve) => this.server.close(resolve));
  }
}

let daemon: RemoteDaemon;

beforeAll(async () => {
  daemon = await RemoteDaemon.start({
    access: [{ name: "gone", role: "admin", token_sha256: sha256("gone") }],
    config: { keepalive_seconds: 2, max_calls: CALLS_MAX },
  });
});

afterAll(() => daemon?.[Symbol.asyncDispose]());

interface Way {
  readonly relay: Relay;
  readonly through: StockadeClient;
  readonly beside: StockadeClient;
}

async function remotely(): Promise<Way> {
  const relay = await Relay.start({ port: daemon.port, host: "127.0.0.1" }, { host: "127.0.0.1", port: 0 });
  const tls = { ca: daemon.authority.ca, serverName: SERVER_NAME };
  const through = connect({ address: relay.address, tls, token: "gone" });
  return { relay, through, beside: daemon.client({ token: "gone" }) };
}

async function locally(): Promise<Way> {
  const path = daemon.test.daemon.address.replace(/^unix:/, "");
  const relay = await Relay.start({ path }, { path: join(daemon.test.daemon.directory, "relay") });
  return { relay, through: new StockadeClient(relay.address), beside: daemon.test.client };
}

it.each([
  ["TLS", remotely],
  ["the unix socket", locally],
])("their calls end, and their descriptors are closed: over %s", async (_, way) => {
  const { relay, through, beside } = await way();
  const { id } = await daemon.test.started();
  const codeBeside = async (): Promise<string> => (await failure(beside.wait(NOBODY))).code;
  expect(await codeBeside()).toBe("NOT_FOUND");
  const before = descriptors(daemon.test.pid);
  const waits: Promise<unknown>[] = [];
  try {
    await until(async () => {
      // One that is refused, since the call beside was under way, has another in its place.
      waits.push(failure(through.wait(id, { retryMs: 0 })));
      return waits.length >= CALLS_MAX && (await codeBeside()) === "RESOURCE_EXHAUSTED";
    });
    relay.vanish();
    await until(async () => (await codeBeside()) === "NOT_FOUND", 20_000);
    await until(() => descriptors(daemon.test.pid) <= before);
  } finally {
    // All this time its calls have heard nothing.
    await relay[Symbol.asyncDispose]();
    await Promise.all(waits);
    through.close();
    await daemon.test.client.forceStop(id);
  }
});
