/** Clients whose certificate a server refuses, which says so: what stands before a daemon does, as openssl's does here. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";

import { connect, type StockadeClient, type TlsOptions } from "../../src/client";
import { Authority, type Issued } from "../support/certificates";
import { Scratch } from "../support/task-files";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");
const NAME = "proxy.test";

const scratch = new Scratch();
let authority: Authority;
let other: Authority;
let server: Issued;

beforeAll(async () => {
  authority = await Authority.make(`${scratch.path}/ca`);
  other = await Authority.make(`${scratch.path}/other`, "Other CA");
  server = await authority.issue(NAME, { san: `DNS:${NAME}` });
});

afterAll(() => scratch[Symbol.dispose]());

/** Answers the port of a server that wants a certificate of its own authority. */
async function serve(version: string): Promise<AsyncDisposable & { readonly port: number }> {
  const files = ["-cert", server.certFile, "-key", server.keyFile, "-CAfile", authority.caFile];
  const verify = ["-Verify", "2", "-verify_return_error", "-alpn", "h2", version];
  const child = spawn("openssl", ["s_server", "-accept", "127.0.0.1:0", ...files, ...verify]);
  let said = "";
  for await (const text of child.stdout.setEncoding("utf8") as AsyncIterable<string>) {
    said += text;
    const [, port] = /ACCEPT 127\.0\.0\.1:(\d+)/.exec(said) ?? [];
    if (port === undefined) continue;
    return {
      port: Number(port),
      async [Symbol.asyncDispose]() {
        child.kill();
        await once(child, "exit");
      },
    };
  }
  throw new Error(`openssl does not listen: ${said}`);
}

function clientOf(port: number, shown: Issued | undefined): StockadeClient {
  const own: Pick<TlsOptions, "cert" | "key"> =
    shown === undefined ? {} : { cert: shown.cert, key: shown.key };
  const tls = { ca: authority.ca, serverName: NAME, ...own };
  return connect({ address: `127.0.0.1:${port}`, retryMs: 60_000, tls });
}

const PAST = { notBefore: "20200101000000Z", notAfter: "20200201000000Z" };

it.each<readonly [string, string, () => Promise<Issued> | undefined]>([
  ["another authority's", "its authority is not known", () => other.issue("ci")],
  ["one that has expired", "it has expired, or is not valid yet", () => authority.issue("ci", PAST)],
  ["a server's", "it is none for clients", () => authority.issue("ci", { usage: "serverAuth" })],
  ["none", "there is none", () => undefined],
])("are told so, and do not try again: %s", async (_which, words, issue) => {
  await using proxy = await serve("-tls1_3");
  const shown = await issue();
  using client = clientOf(proxy.port, shown);
  await expect(client.list()).rejects.toMatchObject({
    code: "UNAVAILABLE",
    reason: "CLIENT_UNTRUSTED",
    message: `the server refuses this client's certificate: ${words}`,
  });
});

it("are told so over TLS 1.2, too", async () => {
  await using proxy = await serve("-tls1_2");
  using client = clientOf(proxy.port, await other.issue("ci"));
  await expect(client.list()).rejects.toMatchObject({ reason: "CLIENT_UNTRUSTED" });
});

it("are told on the command line what to give", async () => {
  await using proxy = await serve("-tls1_3");
  const host = `127.0.0.1:${proxy.port}`;
  const flags = ["--host", host, "--tls-ca", authority.caFile, "--tls-server-name", NAME];
  const child = spawn(STOCKADE, [...flags, "ps"], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (data: Buffer) => (said += data.toString()));
  expect((await once(child, "close"))[0]).toBe(125);
  expect(said).toBe(
    `stockade: ${host}: the server refuses this client's certificate: there is none; --tls-cert and --tls-key give one\n`,
  );
});
