/** Who may connect changes while the daemon runs, and those whom it does not concern do not notice. */
import { chmodSync, copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";

import { credentials } from "@grpc/grpc-js";

import type { LogEvent, StockadeClient, StockadeError } from "../../src/client";
import { Authority, sha256, type Issued } from "../support/certificates";
import { failure, until } from "../support/daemon";
import { RemoteDaemon, SERVER_NAME } from "../support/remote-daemon";
import { RunStream } from "../support/run-stream";

const NOBODY = "CGROUP:/x/00000000-0000-7000-8000-000000000000";
const LET_IN = { code: "NOT_FOUND" };
const REFUSED = { code: "UNAUTHENTICATED", reason: "CREDENTIALS_REFUSED" };

const tokenOf = (name: string): Record<string, string> => ({
  name,
  role: "admin",
  token_sha256: sha256(name),
});
const certOf = (name: string): Record<string, string> => ({ name, role: "admin", certificate_name: name });

let daemon: RemoteDaemon;
let stays: Issued;
let goes: Issued;
const ALL = [tokenOf("stays"), tokenOf("goes"), certOf("stays.test"), certOf("goes.test")];

beforeEach(async () => {
  daemon = await RemoteDaemon.start({ crl: true, access: ALL });
  stays = await daemon.authority.issue("x", { san: "DNS:stays.test" });
  goes = await daemon.authority.issue("x", { san: "DNS:goes.test" });
});

afterEach(() => daemon[Symbol.asyncDispose]());

/** A Wait that hangs for as long as the task runs. */
class Waiting {
  over: StockadeError | "answered" | undefined;
  constructor(client: StockadeClient, id: string) {
    client.wait(id).then(
      () => (this.over = "answered"),
      (error: unknown) => (this.over = error as StockadeError),
    );
  }
}

async function waitingAs(...clients: readonly StockadeClient[]): Promise<{ id: string; waits: Waiting[] }> {
  const { id } = await daemon.test.started();
  const waits = clients.map((client) => new Waiting(client, id));
  // They are under way once a later call of the same connection has been answered.
  for (const client of clients) expect(await failure(client.wait(NOBODY))).toMatchObject(LET_IN);
  return { id, waits };
}

/** Run, and Logs of the same task, which writes once more when it is told to. */
class Streams implements AsyncDisposable {
  private constructor(
    private readonly run: RunStream,
    private readonly logs: Promise<string>,
    private readonly go: string,
  ) {}

  static async open(by: Issued): Promise<Streams> {
    const { address, authority, test } = daemon;
    const name = test.freshName();
    const run = new RunStream(
      { freshName: () => name, daemon: { address } },
      {
        command: "/bin/sh",
        args: ["-c", "echo before; until test -e /local/go; do sleep 0.02; done; echo after"],
      },
      {},
      {
        credentials: credentials.createSsl(authority.ca, by.key, by.cert),
        channel: { "grpc.ssl_target_name_override": SERVER_NAME },
      },
    );
    const follower = daemon.client({ cert: by }).logs(await run.started(), { follow: true });
    // Both are under way once something has come of them.
    const first = await follower.next();
    await until(() => run.text("stdout") === "before\n");
    return new Streams(run, textOf(first, follower), join(test.allocDir(name), name, "local/go"));
  }

  /** Each has all of the output, in its one stream. */
  async expectAlive(): Promise<void> {
    writeFileSync(this.go, "");
    expect(await this.run.ended).toBeUndefined();
    expect(this.run.text("stdout")).toBe("before\nafter\n");
    expect(await this.logs).toBe("before\nafter\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.run[Symbol.dispose]();
    await this.logs.catch(() => undefined);
  }
}

async function textOf(first: IteratorResult<LogEvent, void>, rest: AsyncIterable<LogEvent>): Promise<string> {
  const events = first.done === true ? [] : [first.value];
  for await (const event of rest) events.push(event);
  return events.map((event) => (event.kind === "chunk" ? String(event.data) : "")).join("");
}

async function expectEndsGood(id: string, ...waits: readonly (Waiting | undefined)[]): Promise<void> {
  expect(waits.map((one) => one?.over)).toEqual(waits.map(() => undefined));
  await daemon.test.client.forceStop(id);
  await until(() => waits.every((one) => one?.over === "answered"));
}

it("a token that is taken away ends its calls, and no others", async () => {
  const going = daemon.client({ token: "goes" });
  const { id, waits } = await waitingAs(
    daemon.client({ token: "stays" }),
    going,
    daemon.client({ cert: goes }),
  );
  daemon.configure(ALL.filter((entry) => entry !== ALL[1]));
  await daemon.reload();
  await until(() => waits[1]?.over !== undefined);
  expect(waits[1]?.over).toMatchObject(REFUSED);
  expect(await failure(going.wait(NOBODY))).toMatchObject(REFUSED);
  await expectEndsGood(id, waits[0], waits[2]);
});

it("so does a name that is taken away, or whose rights have changed", async () => {
  const { id, waits } = await waitingAs(
    daemon.client({ cert: stays }),
    daemon.client({ cert: goes }),
    daemon.client({ token: "goes" }),
  );
  daemon.configure([tokenOf("stays"), certOf("stays.test"), { ...tokenOf("goes"), role: "run" }]);
  await daemon.reload();
  await until(() => waits[1]?.over !== undefined && waits[2]?.over !== undefined);
  expect(waits[1]?.over).toMatchObject(REFUSED);
  expect(waits[2]?.over).toMatchObject(REFUSED);
  await expectEndsGood(id, waits[0]);
});

it("so does a certificate that is revoked", async () => {
  const { id, waits } = await waitingAs(daemon.client({ cert: stays }), daemon.client({ cert: goes }));
  await daemon.authority.revoke(goes);
  await daemon.reload();
  await until(() => waits[1]?.over !== undefined);
  expect(waits[1]?.over).toMatchObject(REFUSED);
  await expectEndsGood(id, waits[0]);
});

it("a new certificate of the server's is shown to new connections, and old ones go on", async () => {
  const old = await shownSerial();
  const { id, waits } = await waitingAs(daemon.client({ cert: stays }), daemon.client({ token: "stays" }));
  await using streams = await Streams.open(stays);
  const next = await daemon.authority.issue(SERVER_NAME, { san: `DNS:${SERVER_NAME}` });
  const { cert, key } = daemon.serverFiles;
  writeFileSync(key, next.key);
  writeFileSync(cert, next.cert);
  await daemon.reload();
  expect(await shownSerial()).not.toBe(old);
  await streams.expectAlive();
  await expectEndsGood(id, ...waits);
});

it("another authority for clients ends the calls of those whom the one before has known, and no others", async () => {
  const going = daemon.client({ cert: goes });
  const { id, waits } = await waitingAs(daemon.client({ token: "stays" }), going);
  const other = await Authority.make(join(daemon.authority.directory, "other"), "Other CA");
  await other.revoke();
  const { cert, key } = daemon.serverFiles;
  const tls = { cert_file: cert, key_file: key, client_ca_file: other.caFile, crl_file: other.crlFile };
  daemon.configure(ALL, { tls });
  await daemon.reload();
  await until(() => waits[1]?.over !== undefined);
  expect(waits[1]?.over).toMatchObject(REFUSED);
  expect(await failure(daemon.client({ cert: goes }).wait(NOBODY, { retryMs: 0 }))).toMatchObject({
    code: "UNAVAILABLE",
  });
  const known = await other.issue("x", { san: "DNS:goes.test" });
  expect(await failure(daemon.client({ cert: known }).wait(NOBODY))).toMatchObject(LET_IN);
  await expectEndsGood(id, waits[0]);
});

it("changed files are seen without a word", async () => {
  const { id, waits } = await waitingAs(daemon.client({ token: "stays" }), daemon.client({ token: "goes" }));
  daemon.configure(ALL.filter((entry) => entry !== ALL[1]));
  await until(() => waits[1]?.over !== undefined);
  const old = await shownSerial();
  const next = await daemon.authority.issue(SERVER_NAME, { san: `DNS:${SERVER_NAME}` });
  const { cert, key } = daemon.serverFiles;
  // As tools do that renew certificates: one after the other, each whole.
  copyFileSync(next.keyFile, `${key}.new`);
  chmodSync(`${key}.new`, 0o600);
  copyFileSync(next.certFile, `${cert}.new`);
  renameSync(`${key}.new`, key);
  renameSync(`${cert}.new`, cert);
  await until(async () => (await shownSerial()) !== old);
  await expectEndsGood(id, waits[0]);
});

it("what cannot be is reported, and what was in force stays so", async () => {
  const { id, waits } = await waitingAs(daemon.client({ token: "stays" }), daemon.client({ cert: goes }));
  const { cert, key } = daemon.serverFiles;
  const good = { cert: readFileSync(cert), key: readFileSync(key) };
  const others = await daemon.authority.issue(SERVER_NAME);
  const broken: readonly [string, () => void][] = [
    ["holds no JSON", () => daemon.write("{")],
    ["access[0].role", () => daemon.configure([{ ...tokenOf("goes"), role: "root" }])],
    ["tls needs access", () => daemon.configure([])],
    ["--insecure-tcp accepts", () => daemon.write("{}")],
    ["mismatch", () => writeFileSync(key, others.key)],
    ["is open to others", () => chmodSync(key, 0o640)],
    ["PEM", () => writeFileSync(cert, "no certificate")],
    ["cannot be read: ENOENT", () => renameSync(cert, `${cert}.gone`)],
  ];
  for (const [why, breakIt] of broken) {
    breakIt();
    await daemon.reload();
    await until(() => daemon.test.logged.includes(why));
    expect(await failure(daemon.client({ token: "goes" }).wait(NOBODY))).toMatchObject(LET_IN);
    daemon.configure(ALL);
    writeFileSync(cert, good.cert);
    writeFileSync(key, good.key);
    chmodSync(key, 0o600);
  }
  await daemon.reload();
  expect(daemon.test.logged).toContain("reloaded who may connect");
  await expectEndsGood(id, ...waits);
});

it("what takes effect at the next start alone is said", async () => {
  daemon.configure(ALL, { max_tasks: 7 });
  await daemon.reload();
  expect(daemon.test.logged).toContain('"atNextStart":["maxTasks"]');
});

/** The number of the certificate that the server shows now. */
function shownSerial(): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { ca: daemon.authority.ca, servername: SERVER_NAME, ALPNProtocols: ["h2"] };
    const socket = connectTls(daemon.port, "127.0.0.1", options, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.once("error", reject);
  });
}
