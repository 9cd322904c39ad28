/** The files of TLS, as they are on disk. */
import { open, type FileHandle } from "node:fs/promises";

import type { TlsMaterial } from "../tasks/access/entry.js";

/** Far more than any chain, bundle or list that is used. */
const BYTES_MAX = 16 * 2 ** 20;

export interface TlsPaths {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string | undefined;
  readonly crlFile: string | undefined;
}

/** One of the files cannot be used. The message is one line that names the key of the configuration, and the path. */
export class TlsFileError extends Error {
  constructor(key: string, path: string, why: string, options?: ErrorOptions) {
    super(`tls.${key}: '${path}' ${why}`, options);
    this.name = "TlsFileError";
  }
}

/** Rejects with a TlsFileError. What is in the files is not looked at. */
export async function readTlsFiles(paths: TlsPaths): Promise<TlsMaterial> {
  const { certFile, keyFile, clientCaFile, crlFile } = paths;
  return {
    cert: await read("cert_file", certFile),
    key: await read("key_file", keyFile, checkSecret),
    clientCa: clientCaFile === undefined ? undefined : await read("client_ca_file", clientCaFile),
    crl: crlFile === undefined ? undefined : await read("crl_file", crlFile),
  };
}

type Check = (key: string, path: string, file: FileHandle) => Promise<void>;

async function read(key: string, path: string, check?: Check): Promise<Buffer> {
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    if (size > BYTES_MAX) throw new TlsFileError(key, path, "is too large");
    await check?.(key, path, file);
    return await file.readFile();
  } catch (error) {
    if (error instanceof TlsFileError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw new TlsFileError(key, path, `cannot be read: ${code}`, { cause: error });
  }
}

/** As ssh has it: nobody but its owner may read or write a private key; and its owner is the daemon's user, or root. */
async function checkSecret(key: string, path: string, file: FileHandle): Promise<void> {
  const { mode, uid } = await file.stat();
  if ((mode & 0o077) !== 0) {
    throw new TlsFileError(
      key,
      path,
      `is open to others: mode ${(mode & 0o7777).toString(8).padStart(4, "0")}`,
    );
  }
  if (uid !== 0 && uid !== process.geteuid?.()) throw new TlsFileError(key, path, `is owned by uid ${uid}`);
}
