/** What the configuration says of who may connect. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import type { Config } from "../../src/config/config";
import { ConfigError } from "../../src/config/config-error";
import { load } from "../../src/config/load";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "stockade-config-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

function configured(content: unknown, ...flags: readonly string[]): Config {
  const file = join(dir, "config.json");
  writeFileSync(file, JSON.stringify(content));
  const asked = load(["--config", file, ...flags], {}, true);
  if (asked.kind !== "serve") throw new Error(`asked for ${asked.kind}`);
  return asked.config;
}

function refusal(content: unknown, ...flags: readonly string[]): string {
  try {
    configured(content, ...flags);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.message).not.toContain("\n");
    return error.message;
  }
  throw new Error("was not refused");
}

const TLS = { cert_file: "/c", key_file: "/k", client_ca_file: "/ca" };
const DIGEST = "ab".repeat(32);
const CI = { name: "ci", role: "run", group: "builds", token_sha256: DIGEST };
const OPS = { name: "ops", role: "admin", certificate_name: "ops.test" };

it("names files and callers", () => {
  const { tls, access } = configured({ tls: { ...TLS, crl_file: "crl" }, access: [CI, OPS] });
  expect(tls).toEqual({ certFile: "/c", keyFile: "/k", clientCaFile: "/ca", crlFile: resolve("crl") });
  expect(access).toEqual([
    { name: "ci", role: "run", group: "builds", kind: "token", tokenSha256: Buffer.from(DIGEST, "hex") },
    { name: "ops", role: "admin", group: undefined, kind: "certificate", certificateName: "ops.test" },
  ]);
});

it("may give an identity several tokens and certificates", () => {
  const second = { ...CI, token_sha256: "cd".repeat(32) };
  const { access } = configured({ tls: TLS, access: [CI, second] });
  expect(access.map(({ name }) => name)).toEqual(["ci", "ci"]);
});

it.each([
  ["0.0.0.0:443", "0.0.0.0:443"],
  ["[::]:443", "[::]:443"],
  ["192.0.2.1:443", "192.0.2.1:443"],
  ["localhost:443", "127.0.0.1:443"],
])("lets %s be listened on with TLS", (given, text) => {
  const { listen } = configured({ tls: TLS, access: [OPS] }, "--listen", given);
  expect(listen).toMatchObject([{ kind: "tcp", tls: true, text }]);
});

it("takes no host's name to listen on", () => {
  expect(refusal({ tls: TLS, access: [OPS] }, "--listen", "example.com:443")).toContain("IP address");
});

it("has either TLS or plain TCP", () => {
  expect(refusal({ tls: TLS, access: [OPS] }, "--insecure-tcp")).toContain("--insecure-tcp");
});

it.each<readonly [unknown, string]>([
  [{ tls: TLS }, "tls needs access"],
  [{ tls: TLS, access: [] }, "tls needs access"],
  [{ access: [CI] }, "access has no effect without tls"],
  [{ tls: { cert_file: "/c", key_file: "/k" }, access: [CI, OPS] }, "access[1].certificate_name needs tls"],
  [{ tls: [], access: [CI] }, "tls must be an object"],
  [{ tls: null, access: [CI] }, "tls must be an object"],
  [{ tls: { key_file: "/k" }, access: [CI] }, "tls.cert_file is required"],
  [{ tls: { cert_file: "/c" }, access: [CI] }, "tls.key_file is required"],
  [{ tls: { ...TLS, key_file: 1 }, access: [CI] }, "tls.key_file must be a path"],
  [{ tls: { ...TLS, cert_file: "" }, access: [CI] }, "tls.cert_file must be a path"],
  [{ tls: { ...TLS, cert_file: "a\0" }, access: [CI] }, "tls.cert_file must be a path"],
  [{ tls: { ...TLS, ca_file: "/x" }, access: [CI] }, "unknown key 'ca_file' in tls"],
  [{ tls: { cert_file: "/c", key_file: "/k", crl_file: "/x" }, access: [CI] }, "tls.crl_file needs"],
  [{ tls: TLS, access: {} }, "access must be a list"],
  [{ tls: TLS, access: [1] }, "access[0] must be an object"],
  [{ tls: TLS, access: [{ ...CI, token: "secret" }] }, "unknown key 'token' in access[0]"],
  [{ tls: TLS, access: [{ ...CI, name: undefined }] }, "access[0].name"],
  [{ tls: TLS, access: [{ ...CI, name: "a@b" }] }, "access[0].name"],
  [{ tls: TLS, access: [{ ...CI, name: "a".repeat(65) }] }, "access[0].name"],
  [{ tls: TLS, access: [{ ...CI, group: "" }] }, "access[0].group"],
  [{ tls: TLS, access: [{ ...CI, role: "root" }] }, "access[0].role"],
  [{ tls: TLS, access: [{ ...CI, role: "read", group: undefined }] }, "access[0].group is required"],
  [{ tls: TLS, access: [{ ...CI, token_sha256: undefined }] }, "access[0] needs either"],
  [{ tls: TLS, access: [{ ...CI, certificate_name: "x" }] }, "access[0] needs either"],
  [{ tls: TLS, access: [{ ...CI, token_sha256: "secret" }] }, "access[0].token_sha256"],
  [{ tls: TLS, access: [{ ...CI, token_sha256: DIGEST.slice(1) }] }, "access[0].token_sha256"],
  [{ tls: TLS, access: [{ ...OPS, certificate_name: "" }] }, "access[0].certificate_name"],
  [{ tls: TLS, access: [CI, { ...OPS, name: "ci" }] }, "access[1] has another role or group"],
  [{ tls: TLS, access: [CI, { ...CI, name: "cd" }] }, "access[1] has the certificate or token of an earlier"],
  [
    { tls: TLS, access: [OPS, { ...OPS, name: "cd" }] },
    "access[1] has the certificate or token of an earlier",
  ],
  [{ tls: TLS, access: Array.from({ length: 1001 }, () => CI) }, "more than 1000"],
  [{ socket_mode: "0666" }, "socket_mode"],
  [{ socket_mode: 384 }, "socket_mode"],
  [{ socket_group: "" }, "socket_group"],
  [{ socket_owner: 0 }, "socket_owner"],
  [{ max_connections: 0 }, "max_connections"],
  [{ max_calls: 15 }, "max_calls"],
  [{ keepalive_seconds: 0 }, "keepalive_seconds"],
])("is refused, by name, and no secret is repeated: %j", (content, name) => {
  const message = refusal(content);
  expect(message).toMatch(/^--config: /);
  expect(message).toContain(name);
  expect(message).not.toContain("secret");
});
