/** From command line, environment and file to the daemon's configuration. */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import type { Config } from "./config.js";
import { ConfigError } from "./config-error.js";
import { readConfigFile } from "./config-file.js";
import { defaultSocket, defaultStateDir, type Environment } from "./default-paths.js";
import { checkFileSettings, type FileSettings } from "./file-settings.js";
import { parseListenAddress, unixAddress, type TcpMode } from "./listen-address.js";

/** The same as package.json's; a test holds them equal. */
export const VERSION = "0.1.0";

export type Asked =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | { readonly kind: "serve"; readonly config: Config };

const FLAGS = {
  listen: { type: "string", multiple: true },
  "state-dir": { type: "string" },
  "alloc-dir": { type: "string" },
  "cgroup-root": { type: "string" },
  config: { type: "string" },
  "insecure-tcp": { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

export function usage(): string {
  return `usage: stockaded [flags]

  --listen unix:<path>|<host>:<port>  where to listen; repeatable
                                      (root: unix:/run/stockade/stockaded.sock,
                                      else below $XDG_RUNTIME_DIR); TCP needs tls
                                      in the file, or --insecure-tcp
  --state-dir <path>                  records of tasks
                                      (root: /var/lib/stockade, else below $XDG_STATE_HOME)
  --alloc-dir <path>                  alloc directories (<state-dir>/alloc)
  --cgroup-root <path>                below the cgroup mount: /stockade
                                      (the cgroup of stockade-tasks.service, or /stockade)
  --config <path>                     JSON file with all other settings
  --insecure-tcp                      allow plain TCP on loopback: every user of
                                      this host is an admin
  --help                              this text
  --version                           the version
`;
}

/**
 * Reads the configuration: a flag, else its default; all that has no flag from the file that
 * --config names, else its default. Relative paths start at the working directory.
 *
 * @param argv without the program
 * @param root whether the daemon runs as root
 * @throws ConfigError
 */
export function load(
  argv: readonly string[],
  env: Environment,
  root: boolean = process.geteuid?.() === 0,
): Asked {
  const flags = parseFlags(argv);
  if (flags.help === true) return { kind: "help" };
  if (flags.version === true) return { kind: "version" };
  const stateDir = directory("--state-dir", flags["state-dir"]) ?? defaultStateDir(root, env);
  const settings = checkFileSettings(flags.config === undefined ? {} : readConfigFile(flags.config));
  const tcp = tcpMode(settings.tls !== undefined, flags["insecure-tcp"] === true);
  const listen = flags.listen?.map((text) => parseListenAddress(text, tcp));
  const config: Config = {
    configFile: flags.config === undefined ? undefined : resolve(flags.config),
    listen: Object.freeze(listen ?? [unixAddress(defaultSocket(root, env, stateDir))]),
    stateDir,
    allocDir: directory("--alloc-dir", flags["alloc-dir"]) ?? join(stateDir, "alloc"),
    cgroupRoot: checkCgroupRoot(flags["cgroup-root"]),
    ...fromFile(settings),
  };
  return { kind: "serve", config: Object.freeze(config) };
}

function tcpMode(tls: boolean, insecureTcp: boolean): TcpMode {
  if (tls && insecureTcp) {
    throw new ConfigError("--insecure-tcp cannot be given together with tls of the configuration file");
  }
  if (tls) return "tls";
  return insecureTcp ? "insecure" : "none";
}

function parseFlags(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, allowPositionals: false }).values;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (!code.startsWith("ERR_PARSE_ARGS_")) throw error;
    // The first sentence says what is wrong and names the flag; the others are advice.
    const [first = ""] = (error as Error).message.split(/\. |\n/);
    throw new ConfigError(`${first.charAt(0).toLowerCase()}${first.slice(1)}`, { cause: error });
  }
}

function directory(flag: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  if (path === "" || path.includes("\0")) throw new ConfigError(`${flag} is no path`);
  const absolute = resolve(path);
  if (absolute === "/") throw new ConfigError(`${flag} cannot be the root directory`);
  return absolute;
}

function checkCgroupRoot(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const parts = path.split("/").slice(1);
  const plain = path.startsWith("/") && parts.every((part) => /^(?!\.{1,2}$)[A-Za-z0-9_@:.-]+$/.test(part));
  if (!plain) throw new ConfigError("--cgroup-root is not an absolute path of plain names");
  return path;
}

function fromFile(settings: FileSettings) {
  return {
    initUid: settings.init_uid,
    logBytes: BigInt(settings.log_bytes),
    tmpBytes: BigInt(settings.tmp_bytes),
    shmBytes: BigInt(settings.shm_bytes),
    linkBytes: BigInt(settings.link_bytes),
    unstartedTtlMs: settings.unstarted_ttl_seconds * 1000,
    unstartedBytes: settings.unstarted_bytes,
    endTasksOnStop: settings.end_tasks_on_stop,
    endedTtlMs: settings.ended_ttl_seconds * 1000,
    endedMaxRecords: settings.ended_max_records,
    removeAllocDirs: settings.remove_alloc_dirs,
    maxTasks: settings.max_tasks,
    maxStreams: settings.max_streams,
    allowedPaths: settings.allowed_paths,
    tls: settings.tls,
    access: settings.access,
    socket: Object.freeze({
      owner: settings.socket_owner,
      group: settings.socket_group,
      mode: settings.socket_mode,
    }),
    maxConnections: settings.max_connections,
    maxCalls: settings.max_calls,
    keepaliveMs: settings.keepalive_seconds * 1000,
  };
}
