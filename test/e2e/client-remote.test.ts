/** SDK and command line over TLS, by certificate and by token: the whole of it from another machine. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, connect as connectTo, type AddressInfo, type Server } from "node:net";
import { join, resolve } from "node:path";

import {
  connect,
  type ConnectOptions,
  type RunOptions,
  type StockadeClient,
  type TlsOptions,
} from "../../src/client";
import { Authority, sha256, type Issued } from "../support/certificates";
import { isRoot } from "../support/daemon";
import { expectNothingLeftSoon } from "../support/leftovers";
import { RemoteDaemon, SERVER_NAME } from "../support/remote-daemon";
import { Scratch } from "../support/task-files";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");
const TOKEN = "a-token-of-a-test";

const scratch = new Scratch();
const tokenFile = join(scratch.path, "token");
const wrongFile = join(scratch.path, "wrong");
let daemon: RemoteDaemon;
/** Is where it was when the daemon, started again, has another port. */
let front: Server;
let other: Authority;
let cert: Issued;
const clients: StockadeClient[] = [];

beforeAll(async () => {
  daemon = await RemoteDaemon.start({
    config: { end_tasks_on_stop: false },
    access: [
      { name: "ci", role: "run", certificate_name: "ci.test" },
      { name: "ci", role: "run", token_sha256: sha256(TOKEN) },
    ],
  });
  front = createServer((client) => {
    const server = connectTo(daemon.port, "127.0.0.1");
    client.pipe(server).pipe(client);
    for (const [one, another] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on("error", () => undefined).on("close", () => another.destroy());
    }
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  cert = await daemon.authority.issue("ci", { san: "DNS:ci.test" });
  other = await Authority.make(join(scratch.path, "other"));
  writeFileSync(tokenFile, `${TOKEN}\n`);
  writeFileSync(wrongFile, "wrong\n");
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await expectNothingLeftSoon(daemon.test);
});

afterAll(async () => {
  front?.close();
  await daemon?.[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

type Way = "certificate" | "token";
const WAYS: readonly Way[] = ["certificate", "token"];

function address(): string {
  return `127.0.0.1:${(front.address() as AddressInfo).port}`;
}

/** A client of the SDK's, which is closed after the test. */
function sdk(caller: Pick<ConnectOptions, "token"> & { readonly tls?: TlsOptions }): StockadeClient {
  const tls = { ca: daemon.authority.ca, serverName: SERVER_NAME, ...caller.tls };
  const client = connect({ ...caller, address: address(), tls });
  clients.push(client);
  return client;
}

function sdkBy(way: Way): StockadeClient {
  return sdk(way === "token" ? { token: TOKEN } : { tls: { cert: cert.cert, key: cert.key } });
}

/** The flags by which the command line trusts the daemon. */
function trusting(): string[] {
  return ["--host", address(), "--tls-ca", daemon.authority.caFile, "--tls-server-name", SERVER_NAME];
}

/** And those by which it is known. */
function flags(way: Way): string[] {
  const caller =
    way === "token" ? ["--token-file", tokenFile] : ["--tls-cert", cert.certFile, "--tls-key", cert.keyFile];
  return [...trusting(), ...caller];
}

interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(...args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Said> } {
  const child = spawn(STOCKADE, args, { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, stdout, stderr }));
  return { child, ended };
}

function stockade(...args: readonly string[]): Promise<Said> {
  return start(...args).ended;
}

const UNENFORCED: RunOptions = { allowUnenforced: !isRoot() };
const RUN = isRoot() ? ["run"] : ["run", "--allow-unenforced"];
/** Goes on over a restart of the daemon. */
const COUNT = "for i in $(seq 200); do echo $i; sleep 0.02; done; exit 6";
const COUNTED = Array.from({ length: 200 }, (_, at) => `${at + 1}\n`).join("");

describe.each(WAYS)("by %s", (way) => {
  it("the SDK runs a task, and has what it collects", async () => {
    const result = await sdkBy(way).run(["sh", "-c", "cat; echo x >/local/out; exit 3"], {
      ...UNENFORCED,
      input: "in\n",
      collect: { "/local/out": "1k" },
      reject: false,
    });
    expect(result).toMatchObject({ exitCode: 3, stdout: "in\n", files: [{ content: Buffer.from("x\n") }] });
  });

  it("the SDK goes on over a restart of the daemon", async () => {
    const task = sdkBy(way).run(["sh", "-c", COUNT], { ...UNENFORCED, reject: false });
    for await (const line of task.lines()) if (line === "20") await daemon.restart();
    expect(await task).toMatchObject({ exitCode: 6, stdout: COUNTED });
  });

  it("the command line runs, follows over a restart, waits and removes", async () => {
    const begun = await stockade(...flags(way), ...RUN, "-d", "--name", `count-${way}`, "sh", "-c", COUNT);
    expect(begun).toMatchObject({ code: 0, stderr: "" });
    const id = begun.stdout.trim();
    const followed = start(...flags(way), "logs", "-f", id);
    if (followed.child.stdout !== null) await once(followed.child.stdout, "data");
    await daemon.restart();
    expect(await followed.ended).toEqual({ code: 0, stdout: COUNTED, stderr: "" });
    expect(await stockade(...flags(way), "wait", id)).toEqual({ code: 6, stdout: "6\n", stderr: "" });
    expect(await stockade(...flags(way), "rm", id)).toEqual({ code: 0, stdout: `${id}\n`, stderr: "" });
  });
});

/** Whatever a call does that would go on for as long as it takes. */
async function failureOf(client: StockadeClient): Promise<unknown> {
  const listen = async (): Promise<void> => {
    for await (const event of client.output("CGROUP:/x", { retryMs: Infinity })) throw new Error(event.kind);
  };
  const running = client.run("true", UNENFORCED).catch((error: unknown) => error);
  const listening = await listen().catch((error: unknown) => error);
  expect(await running).toMatchObject({ code: (listening as { code: string }).code });
  return listening;
}

it("a server of another authority is not trusted, and nobody tries again", async () => {
  expect(await failureOf(sdk({ token: TOKEN, tls: { ca: other.ca } }))).toMatchObject({
    name: "StockadeError",
    code: "UNAVAILABLE",
    reason: "SERVER_UNTRUSTED",
    message: expect.stringMatching(/^the server's certificate is not trusted: /),
  });
  const said = await stockade("--host", address(), "--tls-ca", other.caFile, "--token-file", tokenFile, "ps");
  expect(said).toMatchObject({ code: 125, stdout: "" });
  expect(said.stderr).toMatch(
    /^stockade: 127\.0\.0\.1:\d+: the server's certificate is not trusted: .*--tls-ca .*\n$/,
  );
});

it("a server of another name is not trusted either", async () => {
  expect(await failureOf(sdk({ token: TOKEN, tls: { serverName: "other.test" } }))).toMatchObject({
    reason: "SERVER_UNTRUSTED",
    message: expect.stringContaining("other.test"),
  });
});

it("a token that is wrong is refused, with what to do", async () => {
  expect(await failureOf(sdk({ token: "wrong" }))).toMatchObject({
    name: "StockadeError",
    code: "UNAUTHENTICATED",
    reason: "CREDENTIALS_REFUSED",
  });
  for (const caller of [["--token-file", wrongFile], []]) {
    const said = await stockade(...trusting(), ...caller, ...RUN, "true");
    expect(said).toMatchObject({ code: 125, stdout: "" });
    expect(said.stderr).toMatch(
      /^stockade: a valid certificate or token is required; .*--tls-cert.*--token-file.*\n$/,
    );
  }
});

it("a certificate of another authority is refused, and nobody tries for ever", async () => {
  const stranger = await other.issue("ci", { san: "DNS:ci.test" });
  using client = connect({
    address: address(),
    tls: { ca: daemon.authority.ca, serverName: SERVER_NAME, cert: stranger.cert, key: stranger.key },
    retryMs: 200,
  });
  const listen = async (): Promise<void> => {
    for await (const event of client.output("CGROUP:/x", { follow: true })) throw new Error(event.kind);
  };
  await expect(listen()).rejects.toMatchObject({ name: "StockadeError", code: "UNAVAILABLE" });
  const certFlags = ["--tls-cert", stranger.certFile, "--tls-key", stranger.keyFile];
  const said = await stockade(...trusting(), ...certFlags, "ps");
  expect(said).toMatchObject({ code: 125, stdout: "" });
  expect(said.stderr).toMatch(/^stockade: .* it closes the connection; .*--tls-cert.*\n$/);
  const plain = await stockade("--host", address(), "ps");
  expect(plain.stderr).toMatch(/^stockade: .* it closes the connection; .*--tls-ca.*\n$/);
});
