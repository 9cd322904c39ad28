/** Which daemon is meant, and by what it knows who calls. */
import { readFileSync } from "node:fs";

import { connect, type StockadeClient } from "../client/index.js";
import type { FlagValues } from "./flags.js";
import { UsageError } from "./usage-error.js";

const DEFAULT_HOST = "unix:/run/stockade/stockaded.sock";

export const HOST_FLAGS = {
  host: { type: "string", short: "H" },
  "tls-ca": { type: "string" },
  "tls-cert": { type: "string" },
  "tls-key": { type: "string" },
  "tls-server-name": { type: "string" },
  "token-file": { type: "string" },
} as const;

export const HOST_HELP = `  -H, --host ADDRESS       unix:PATH or HOST:PORT (STOCKADE_HOST; default ${DEFAULT_HOST})
      --tls-ca FILE        whose servers are trusted (STOCKADE_TLS_CA)
      --tls-cert FILE      this client's certificate (STOCKADE_TLS_CERT)
      --tls-key FILE       its key (STOCKADE_TLS_KEY)
      --tls-server-name N  the name that the server's certificate has (STOCKADE_TLS_SERVER_NAME)
      --token-file FILE    holds a bearer token (STOCKADE_TOKEN has one itself)
`;

export interface Host {
  readonly client: StockadeClient;
  readonly address: string;
}

/** Throws a UsageError. */
export function toHost(
  flags: FlagValues<typeof HOST_FLAGS>,
  env: Readonly<Record<string, string | undefined>>,
): Host {
  const address = flags.host ?? given(env["STOCKADE_HOST"]) ?? DEFAULT_HOST;
  const files = {
    ca: flags["tls-ca"] ?? given(env["STOCKADE_TLS_CA"]),
    cert: flags["tls-cert"] ?? given(env["STOCKADE_TLS_CERT"]),
    key: flags["tls-key"] ?? given(env["STOCKADE_TLS_KEY"]),
  };
  const serverName = flags["tls-server-name"] ?? given(env["STOCKADE_TLS_SERVER_NAME"]);
  const tokenFile = flags["token-file"];
  const token = tokenFile === undefined ? given(env["STOCKADE_TOKEN"]) : read(tokenFile).trim();
  const tls = {
    ...Object.fromEntries(
      Object.entries(files).flatMap(([name, file]) => (file === undefined ? [] : [[name, read(file)]])),
    ),
    ...(serverName === undefined ? {} : { serverName }),
  };
  try {
    const client = connect({
      address,
      // Whoever types is told at once that nobody is there.
      retryMs: 0,
      ...(Object.keys(tls).length === 0 ? {} : { tls }),
      ...(token === undefined ? {} : { token }),
    });
    return { client, address };
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(error.message) : error;
  }
}

function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`'${file}' cannot be read: ${error instanceof Error ? error.message : "?"}`);
  }
}
