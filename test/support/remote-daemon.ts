/** A daemon that serves TLS on loopback, with an authority of its own. */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { connect, type StockadeClient, type TlsOptions } from "../../src/client";
import { Authority, type Issued } from "./certificates";
import { TestDaemon, until } from "./daemon";
import { Scratch } from "./task-files";

/** The name in the server's certificate. */
export const SERVER_NAME = "stockaded.test";

type Entry = Readonly<Record<string, string>>;

export interface RemoteOptions {
  readonly access: readonly Entry[];
  /** Whether certificates of clients are taken; default true. */
  readonly clientCa?: boolean;
  readonly crl?: boolean;
  /** The address to listen on; default 127.0.0.1. */
  readonly listen?: string;
  /** The names in the server's certificate, as openssl takes them; default SERVER_NAME alone. */
  readonly san?: string;
  readonly config?: Readonly<Record<string, unknown>>;
  /** The daemon's environment; default: this process's. */
  readonly env?: NodeJS.ProcessEnv;
}

export class RemoteDaemon implements AsyncDisposable {
  private readonly clients: StockadeClient[] = [];

  private constructor(
    readonly test: TestDaemon,
    readonly authority: Authority,
    private at: string,
    private readonly scratch: Scratch,
    private readonly tls: Readonly<Record<string, string>>,
  ) {}

  static async start(options: RemoteOptions): Promise<RemoteDaemon> {
    const { access, clientCa = true, crl = false, config = {} } = options;
    const { listen = "127.0.0.1", san = `DNS:${SERVER_NAME}` } = options;
    const scratch = new Scratch();
    const authority = await Authority.make(join(scratch.path, "ca"));
    const server = await authority.issue(SERVER_NAME, { san });
    const cert = join(scratch.path, "server.pem");
    const key = join(scratch.path, "server.key");
    writeFileSync(cert, server.cert);
    writeFileSync(key, server.key, { mode: 0o600 });
    if (crl) await authority.revoke();
    const tls = {
      cert_file: cert,
      key_file: key,
      ...(clientCa ? { client_ca_file: authority.caFile } : {}),
      ...(crl ? { crl_file: authority.crlFile } : {}),
    };
    const test = await TestDaemon.start({ ...config, tls, access }, undefined, options.env, [
      listen.includes(":") ? `[${listen}]:0` : `${listen}:0`,
    ]);
    return new RemoteDaemon(test, authority, addressOf(test), scratch, tls);
  }

  get address(): string {
    return this.at;
  }

  get port(): number {
    return Number(this.address.split(":").at(-1));
  }

  get serverFiles(): { readonly cert: string; readonly key: string } {
    return { cert: this.tls["cert_file"] ?? "", key: this.tls["key_file"] ?? "" };
  }

  /** A client that trusts the daemon; closed with it. */
  client(
    by: { readonly cert?: Issued; readonly token?: string; readonly tls?: TlsOptions } = {},
  ): StockadeClient {
    const { cert, token, tls } = by;
    const made = connect({
      address: this.address,
      tls: {
        ca: this.authority.ca,
        serverName: SERVER_NAME,
        ...(cert === undefined ? {} : { cert: cert.cert, key: cert.key }),
        ...tls,
      },
      ...(token === undefined ? {} : { token }),
    });
    this.clients.push(made);
    return made;
  }

  /** Writes its configuration anew, with other entries, and perhaps other files. */
  configure(access: readonly Entry[], more: Readonly<Record<string, unknown>> = {}): void {
    this.write(JSON.stringify({ end_tasks_on_stop: true, tls: this.tls, access, ...more }));
  }

  /** Whatever it is. */
  write(text: string): void {
    const path = join(this.test.daemon.directory, "config.json");
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }

  /** Asks for a reload, and resolves when its outcome has been logged. */
  async reload(): Promise<void> {
    const before = this.outcomes();
    process.kill(this.test.pid, "SIGHUP");
    await until(() => this.outcomes() > before);
  }

  /** As a crash and its repair would; clients of before are of no more use. */
  async restart(): Promise<void> {
    await this.test.restart("SIGKILL");
    this.at = addressOf(this.test);
  }

  private outcomes(): number {
    return [...this.test.logged.matchAll(/reload(ed)? who may connect/g)].length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.close();
    await this.test[Symbol.asyncDispose]();
    this.scratch[Symbol.dispose]();
  }
}

/** The last one that it has said. */
function addressOf({ logged }: TestDaemon): string {
  const address = [...logged.matchAll(/"((?:127\.0\.0\.1|\[::1\]):[0-9]+)"/g)].at(-1)?.[1];
  if (address === undefined) throw new Error("the daemon does not say where it listens");
  return address;
}
