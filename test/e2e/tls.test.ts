/** Who gets in over TLS, by certificate and by token. */
import { connect as connectTls } from "node:tls";

import { connect, StockadeClient } from "../../src/client";
import { Authority, sha256, type Issued } from "../support/certificates";
import { failure } from "../support/daemon";
import { RemoteDaemon, SERVER_NAME } from "../support/remote-daemon";

/** An id that no task has: whoever gets so far that it is looked for is let in. */
const NOBODY = "CGROUP:/x/00000000-0000-7000-8000-000000000000";
const LET_IN = { code: "NOT_FOUND", reason: "TASK_NOT_FOUND" };
const REFUSED = {
  code: "UNAUTHENTICATED",
  reason: "CREDENTIALS_REFUSED",
  message: "a valid certificate or token is required",
};
/** Closed after the handshake, as TLS has it. */
const CLOSED = { code: "UNAVAILABLE", reason: undefined };
const TOKEN = "correct-horse.battery~staple+0/1=";

async function answer(client: StockadeClient): Promise<unknown> {
  const { code, reason, message } = await failure(client.wait(NOBODY, { timeoutMs: 30_000, retryMs: 0 }));
  return { code, reason, message };
}

let daemon: RemoteDaemon;
let other: Authority;
let revoked: Issued;

beforeAll(async () => {
  daemon = await RemoteDaemon.start({
    crl: true,
    access: [
      { name: "dns", role: "run", certificate_name: "client.test" },
      { name: "uri", role: "run", certificate_name: "spiffe://test/client" },
      { name: "common", role: "run", certificate_name: "Common Client" },
      { name: "token", role: "run", token_sha256: sha256(TOKEN) },
    ],
  });
  revoked = await daemon.authority.issue("x", { san: "DNS:client.test" });
  await daemon.authority.revoke(revoked);
  await daemon.reload();
  other = await Authority.make(`${daemon.authority.directory}/other`);
});

afterAll(() => daemon[Symbol.asyncDispose]());

describe("a client certificate", () => {
  it.each([
    ["by a DNS name", "x", "DNS:client.test"],
    ["by one of several names", "x", "DNS:a.test,DNS:client.test"],
    ["by a URI", "x", "URI:spiffe://test/client"],
    ["by its common name, where it has no other", "Common Client", undefined],
  ])("lets in %s", async (_, name, san) => {
    const cert = await daemon.authority.issue(name, san === undefined ? {} : { san });
    expect(await answer(daemon.client({ cert }))).toMatchObject(LET_IN);
  });

  it.each([
    ["with a name that nobody has", "x", { san: "DNS:stranger.test" }],
    ["with a common name beside another name", "Common Client", { san: "DNS:stranger.test" }],
    ["with a wildcard", "x", { san: "DNS:*.test" }],
    ["with a name that only looks like two", "x, DNS:client.test", {}],
    ["with a name of another kind", "x", { san: "email:client.test" }],
  ])("%s is refused", async (_, name, wanted) => {
    const cert = await daemon.authority.issue(name, wanted);
    expect(await answer(daemon.client({ cert }))).toEqual(REFUSED);
  });

  it("that has expired is refused", async () => {
    const cert = await daemon.authority.issue("x", {
      san: "DNS:client.test",
      notBefore: "20200101000000Z",
      notAfter: "20200102000000Z",
    });
    expect(await answer(daemon.client({ cert }))).toMatchObject(CLOSED);
  });

  it("that is not valid yet is refused", async () => {
    const cert = await daemon.authority.issue("x", {
      san: "DNS:client.test",
      notBefore: "20400101000000Z",
      notAfter: "20400102000000Z",
    });
    expect(await answer(daemon.client({ cert }))).toMatchObject(CLOSED);
  });

  it("of another authority is refused", async () => {
    const cert = await other.issue("x", { san: "DNS:client.test" });
    expect(await answer(daemon.client({ cert }))).toMatchObject(CLOSED);
  });

  it("that is a server's is refused", async () => {
    const cert = await daemon.authority.issue("x", { san: "DNS:client.test", usage: "serverAuth" });
    expect(await answer(daemon.client({ cert }))).toMatchObject(CLOSED);
  });

  it("that has been revoked is refused, with a good token too", async () => {
    expect(await answer(daemon.client({ cert: revoked }))).toMatchObject(CLOSED);
    expect(await answer(daemon.client({ cert: revoked, token: TOKEN }))).toMatchObject(CLOSED);
  });
});

describe("a token", () => {
  it("lets in", async () => {
    expect(await answer(daemon.client({ token: TOKEN }))).toMatchObject(LET_IN);
  });

  it.each(["wrong", `${TOKEN}=`, TOKEN.slice(1), TOKEN.toUpperCase(), sha256(TOKEN)])(
    "that is wrong (%s) is refused, with the one answer",
    async (token) => {
      expect(await answer(daemon.client({ token }))).toEqual(REFUSED);
    },
  );

  it("that is wrong is refused with a good certificate, too", async () => {
    const cert = await daemon.authority.issue("x", { san: "DNS:client.test" });
    expect(await answer(daemon.client({ cert, token: "wrong" }))).toEqual(REFUSED);
  });

  it("that is missing is refused, with the same answer", async () => {
    expect(await answer(daemon.client())).toEqual(REFUSED);
  });

  it("is in no log", async () => {
    await answer(daemon.client({ token: "secret-that-is-wrong" }));
    expect(daemon.test.logged).not.toContain("secret-that-is-wrong");
    expect(daemon.test.logged).not.toContain(TOKEN);
  });
});

describe("the server", () => {
  it("with another name is refused by the client", async () => {
    const client = daemon.client({ token: TOKEN, tls: { serverName: "other.test" } });
    expect(await answer(client)).toMatchObject({ code: "UNAVAILABLE" });
  });

  it("of another authority is refused by the client", async () => {
    const client = daemon.client({ token: TOKEN, tls: { ca: other.ca } });
    expect(await answer(client)).toMatchObject({ code: "UNAVAILABLE" });
  });

  it("speaks nothing but TLS", async () => {
    using client = new StockadeClient(daemon.address);
    expect(await answer(client)).toMatchObject({ code: "UNAVAILABLE" });
  });

  it.each([
    ["TLS 1.1", { maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }],
    ["HTTP/1.1", { ALPNProtocols: ["http/1.1"] }],
  ] as const)("does not speak %s", async (_, options) => {
    expect(await handshake(options)).toBe("closed");
  });

  it("speaks to nobody who says no protocol", async () => {
    expect(await handshake({})).toBe("closed");
  });

  it("speaks TLS 1.3 to those who can, and TLS 1.2", async () => {
    expect(await handshake({ ALPNProtocols: ["h2"] })).toBe("TLSv1.3");
    expect(await handshake({ ALPNProtocols: ["h2"], maxVersion: "TLSv1.2" })).toBe("TLSv1.2");
  });
});

it("a client sends no token without TLS but to this host", () => {
  expect(() => connect({ address: "192.0.2.1:80", token: "t" })).toThrow(TypeError);
  expect(() => connect({ address: "127.0.0.1.example.com:80", token: "t" })).toThrow(TypeError);
  for (const address of ["unix:/x", "127.0.0.1:80", "[::1]:80", "localhost:80"]) {
    connect({ address, token: "t" }).close();
  }
});

it("a client's own certificate comes with its key, and a token is one", () => {
  expect(() => connect({ address: "a:1", tls: { cert: "x" } })).toThrow(/cert and tls.key/);
  expect(() => connect({ address: "a:1", tls: {}, token: "a b" })).toThrow(/a token is made of/);
});

/** The version of TLS that is spoken once the server has sent its first bytes of HTTP/2. */
function handshake(options: Parameters<typeof connectTls>[1]): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTls(daemon.port, "127.0.0.1", {
      ca: daemon.authority.ca,
      servername: SERVER_NAME,
      ...options,
    });
    socket.once("data", () => {
      resolve(socket.getProtocol() ?? "none");
      socket.destroy();
    });
    socket.once("error", () => resolve("closed"));
    socket.once("close", () => resolve("closed"));
  });
}
