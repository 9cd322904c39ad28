/** Keeps what says who may connect up to date, without a restart: when it is asked for, and when a file has changed. */
import { isDeepStrictEqual } from "node:util";

import type { Config } from "./config/config.js";
import { ConfigError } from "./config/config-error.js";
import { FileWatch } from "./host/file-watch.js";
import { readTlsFiles, TlsFileError } from "./host/tls-files.js";
import type { Access } from "./tasks/access/entry.js";
import type { Log } from "./tasks/ports.js";

/** How often the files are looked at, in milliseconds. */
const LOOK_MS = 2_000;

/** What a reload puts in force; all else is from the start of the daemon. */
const RELOADED: readonly string[] = ["tls", "access"];

/** Undefined where TLS is not configured. Rejects with a ConfigError. */
export async function readAccess({ tls, access }: Config): Promise<Access | undefined> {
  if (tls === undefined) return undefined;
  try {
    return { entries: access, tls: await readTlsFiles(tls) };
  } catch (error) {
    if (error instanceof TlsFileError) throw new ConfigError(`--config: ${error.message}`, { cause: error });
    throw error;
  }
}

export interface AccessReloadParts {
  /** As it was at the start. */
  readonly config: Config;
  /** Reads flags and file again. Throws a ConfigError. */
  readonly configure: () => Config;
  /** Throws where it cannot be served with; all is as it was then. */
  readonly apply: (access: Access) => void;
  readonly log: Log;
}

export class AccessReload {
  private current: Config;
  private readonly watch: FileWatch;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly parts: AccessReloadParts) {
    this.current = parts.config;
    this.watch = new FileWatch(
      () => filesOf(this.current),
      LOOK_MS,
      () => void this.reload(),
    );
  }

  start(): Promise<void> {
    return this.watch.start();
  }

  stop(): void {
    this.watch.stop();
  }

  /** Resolves when what the files say is in force, or has been reported as what it is. One at a time. */
  reload(): Promise<void> {
    this.running = this.running.then(() => this.readAndApply());
    return this.running;
  }

  private async readAndApply(): Promise<void> {
    const { configure, apply, log } = this.parts;
    try {
      const config = configure();
      const access = await readAccess(config);
      if (access === undefined) {
        if (this.current.tls === undefined) return;
        throw new ConfigError("--config: tls cannot be taken away while the daemon runs");
      }
      if (this.current.tls === undefined) {
        throw new ConfigError("--config: tls takes effect at the next start");
      }
      apply(access);
      this.current = config;
      log.info("reloaded who may connect", { entries: access.entries.length, ...this.notInForce(config) });
    } catch (error) {
      // What a parser says of a file can hold some of it.
      log.error("cannot reload who may connect: what was in force stays so", {
        why: (error as Error).message,
      });
    }
  }

  private notInForce(config: Config): { readonly atNextStart?: readonly string[] } {
    const keys = Object.keys(config).filter((key) => !RELOADED.includes(key)) as (keyof Config)[];
    const changed = keys.filter((key) => !isDeepStrictEqual(config[key], this.parts.config[key]));
    return changed.length === 0 ? {} : { atNextStart: changed };
  }
}

function filesOf({ configFile, tls }: Config): readonly string[] {
  if (tls === undefined) return [];
  const { certFile, keyFile, clientCaFile, crlFile } = tls;
  return [configFile, certFile, keyFile, clientCaFile, crlFile].filter((path) => path !== undefined);
}
