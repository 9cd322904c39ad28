/** The keys of the configuration file that say who may connect: `tls` and `access`. */
import { resolve } from "node:path";

import type { AccessEntry } from "../tasks/access/entry.js";
import { ROLES, type Identity, type Role } from "../tasks/access/identity.js";
import { ConfigError } from "./config-error.js";

/** The files of TLS, absolute. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string | undefined;
  readonly crlFile: string | undefined;
}

const TLS_KEYS = ["cert_file", "key_file", "client_ca_file", "crl_file"] as const;
const ENTRY_KEYS = ["name", "role", "group", "certificate_name", "token_sha256"];

/** Names of identities and groups. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const SHA256 = /^[0-9A-Fa-f]{64}$/;

/** Each call with a token is compared with all of them. */
const ENTRIES_MAX = 1000;
const CERTIFICATE_NAME_LENGTH_MAX = 1024;

type Fields = Readonly<Record<string, unknown>>;

export interface AccessSettings {
  /** Undefined: TLS is not served. */
  readonly tls: TlsFiles | undefined;
  readonly access: readonly AccessEntry[];
}

/** Throws ConfigError. */
export function checkAccessSettings(tlsValue: unknown, accessValue: unknown): AccessSettings {
  const tls = tlsValue === undefined ? undefined : checkTls(tlsValue);
  const access = accessValue === undefined ? [] : checkEntries(accessValue);
  if (tls === undefined) {
    if (accessValue !== undefined) throw refused("access has no effect without tls");
    return { tls, access };
  }
  if (access.length === 0) throw refused("tls needs access: without it nobody who calls is known");
  if (tls.clientCaFile === undefined) {
    const index = access.findIndex(({ kind }) => kind === "certificate");
    if (index >= 0) {
      throw refused(`access[${index}].certificate_name needs tls.client_ca_file: no certificate is trusted`);
    }
  }
  return { tls, access };
}

function checkTls(value: unknown): TlsFiles {
  const fields = objectOf("tls", value, TLS_KEYS);
  const certFile = pathOf(fields, "cert_file");
  const keyFile = pathOf(fields, "key_file");
  const clientCaFile = pathOf(fields, "client_ca_file");
  const crlFile = pathOf(fields, "crl_file");
  if (certFile === undefined) throw refused("tls.cert_file is required");
  if (keyFile === undefined) throw refused("tls.key_file is required");
  if (crlFile !== undefined && clientCaFile === undefined) {
    throw refused("tls.crl_file needs tls.client_ca_file");
  }
  return Object.freeze({ certFile, keyFile, clientCaFile, crlFile });
}

function pathOf(fields: Fields, key: (typeof TLS_KEYS)[number]): string | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  if (typeof value !== "string" || value === "" || value.includes("\0")) {
    throw refused(`tls.${key} must be a path`);
  }
  return resolve(value);
}

function checkEntries(value: unknown): readonly AccessEntry[] {
  if (!Array.isArray(value)) throw refused("access must be a list");
  if (value.length > ENTRIES_MAX) throw refused(`access has more than ${ENTRIES_MAX} entries`);
  const entries = value.map((entry: unknown, index) => checkEntry(entry, `access[${index}]`));
  const known = new Map<string, Identity>();
  const shown = new Set<string>();
  entries.forEach((entry, index) => {
    const same = known.get(entry.name);
    if (same !== undefined && (same.role !== entry.role || same.group !== entry.group)) {
      throw refused(`access[${index}] has another role or group than an earlier entry named '${entry.name}'`);
    }
    known.set(entry.name, entry);
    const proof = entry.kind === "token" ? entry.tokenSha256.toString("hex") : `=${entry.certificateName}`;
    if (shown.has(proof)) throw refused(`access[${index}] has the certificate or token of an earlier entry`);
    shown.add(proof);
  });
  return Object.freeze(entries);
}

function checkEntry(value: unknown, at: string): AccessEntry {
  const fields = objectOf(at, value, ENTRY_KEYS);
  const identity = { name: checkName(fields["name"], `${at}.name`), role: checkRole(fields["role"], at) };
  const group = fields["group"] === undefined ? undefined : checkName(fields["group"], `${at}.group`);
  if (identity.role === "read" && group === undefined) {
    throw refused(`${at}.group is required: it is what role 'read' sees`);
  }
  const { certificate_name: certificateName, token_sha256: tokenSha256 } = fields;
  if ((certificateName === undefined) === (tokenSha256 === undefined)) {
    throw refused(`${at} needs either certificate_name or token_sha256`);
  }
  if (tokenSha256 === undefined) {
    const usable = typeof certificateName === "string" && certificateName !== "";
    if (!usable || certificateName.length > CERTIFICATE_NAME_LENGTH_MAX) {
      throw refused(`${at}.certificate_name must be a name of the certificate`);
    }
    return Object.freeze({ ...identity, group, kind: "certificate", certificateName });
  }
  if (typeof tokenSha256 !== "string" || !SHA256.test(tokenSha256)) {
    throw refused(`${at}.token_sha256 must be the SHA-256 of the token, 64 hexadecimal digits`);
  }
  return Object.freeze({ ...identity, group, kind: "token", tokenSha256: Buffer.from(tokenSha256, "hex") });
}

function checkName(value: unknown, at: string): string {
  if (typeof value === "string" && NAME.test(value)) return value;
  throw refused(`${at} must be 1 to 64 of A-Z a-z 0-9 . _ -, and begin with a letter or a digit`);
}

function checkRole(value: unknown, at: string): Role {
  const role = ROLES.find((known) => known === value);
  if (role === undefined) throw refused(`${at}.role must be ${ROLES.join(", ")}`);
  return role;
}

function objectOf(name: string, value: unknown, keys: readonly string[]): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refused(`${name} must be an object`);
  }
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw refused(`unknown key '${unknown}' in ${name}`);
  return value as Fields;
}

function refused(what: string): ConfigError {
  return new ConfigError(`--config: ${what}`);
}
