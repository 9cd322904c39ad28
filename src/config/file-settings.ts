/** The keys of the configuration file: names, units, ranges, defaults. */
import { DEFAULT_CHROOT } from "../tasks/request/default-chroot.js";
import type { AllowedPath } from "../tasks/request/policy.js";
import { checkPath } from "../tasks/request/task-path.js";
import { checkAccessSettings, type AccessSettings } from "./access-settings.js";
import { ConfigError } from "./config-error.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;

/** A page: no tmpfs is smaller. */
const PAGE_BYTES = 4096;

/** setTimeout takes 2^31 - 1 ms, which is 24.8 days. */
const TTL_SECONDS_MAX = 20 * 24 * 3600;

interface NumberKey {
  /** Inclusive. */
  readonly min: number;
  readonly max: number;
  readonly byDefault: number;
}

/** Whole numbers; the unit is in the name. */
export const NUMBER_KEYS = {
  // No user: Debian policy 9.2.2 leaves 65533 unassigned, as does systemd's UIDS-GIDS.md (65520 to
  // 65533). One less is taken by the trial sandbox at the daemon's start, hence 2.
  init_uid: { min: 2, max: 4_294_967_294, byDefault: 65_533 },
  // Ours: large enough for a build's output, small enough for thousands of tasks on one disk.
  log_bytes: { min: PAGE_BYTES, max: TIB, byDefault: 64 * MIB },
  // 64 MiB is what Docker gives /dev/shm, and enough for small scratch files in /tmp. Both are
  // charged to the task's memory.
  tmp_bytes: { min: PAGE_BYTES, max: TIB, byDefault: 64 * MIB },
  shm_bytes: { min: PAGE_BYTES, max: TIB, byDefault: 64 * MIB },
  // Ours: the default chroot of a large Debian host fits.
  link_bytes: { min: 0, max: TIB, byDefault: GIB },
  // Ours: far longer than any client needs between two calls.
  unstarted_ttl_seconds: { min: 1, max: TTL_SECONDS_MAX, byDefault: 300 },
  // Ours: sixty tasks of the largest environment that is executed, or ten thousand of a usual one. Of two
  // gigabytes and more that Node allows itself, it leaves the most for all else.
  unstarted_bytes: { min: MIB, max: TIB, byDefault: 256 * MIB },
  // Ours: an orchestrator that was away for an hour still learns every exit.
  ended_ttl_seconds: { min: 1, max: TTL_SECONDS_MAX, byDefault: 3600 },
  // Ours: about 1 kB of memory each, and what its labels hold, 25 kB at most.
  ended_max_records: { min: 0, max: 1_000_000, byDefault: 10_000 },
  // Ours: each is two processes and one cgroup at least; pid_max is 32768 on small hosts.
  max_tasks: { min: 1, max: 100_000, byDefault: 4096 },
  // Ours: one whose reader has stopped holds up to 200 kB.
  max_streams: { min: 1, max: 100_000, byDefault: 2048 },
  // Ours: about 50 kB of memory and one descriptor each.
  max_connections: { min: 1, max: 100_000, byDefault: 1024 },
  // Ours: a Wait for each of `max_tasks`, and as many again to follow them, for two orchestrators of one name; some
  // 15 kB of memory each.
  max_calls: { min: 16, max: 1_000_000, byDefault: 16_384 },
  // Ours: shorter than the minutes after which proxies and NATs forget a silent connection.
  keepalive_seconds: { min: 1, max: 24 * 3600, byDefault: 60 },
} as const satisfies Record<string, NumberKey>;

/** Those that hold no number. */
const OTHER_KEYS: readonly string[] = [
  "access",
  "allowed_paths",
  "end_tasks_on_stop",
  "remove_alloc_dirs",
  "socket_group",
  "socket_mode",
  "socket_owner",
  "tls",
];

/** Those of a unix socket that are of use: its owner's, and its group's as well. */
const SOCKET_MODES = { "0600": 0o600, "0660": 0o660 } as const;

export type NumberKeyName = keyof typeof NUMBER_KEYS;

export interface FileSettings extends Readonly<Record<NumberKeyName, number>>, AccessSettings {
  /** Default false: what runs is the next daemon's. */
  readonly end_tasks_on_stop: boolean;
  /** Default false: what tasks have left is whoever's who asked for them. */
  readonly remove_alloc_dirs: boolean;
  readonly allowed_paths: readonly AllowedPath[];
  /** Name or number; undefined: the daemon's own. */
  readonly socket_owner: string | undefined;
  readonly socket_group: string | undefined;
  readonly socket_mode: number;
}

/** What the default chroot shows, read-only. */
const ALLOWED_PATHS: readonly AllowedPath[] = DEFAULT_CHROOT.map(({ source }) =>
  Object.freeze({ path: source, writable: false }),
);

/** Checks what the file holds; absent keys get their defaults. Throws ConfigError. */
export function checkFileSettings(content: unknown): FileSettings {
  if (!isObject(content)) throw new ConfigError("--config: the file does not hold a JSON object");
  for (const key of Object.keys(content)) {
    if (!OTHER_KEYS.includes(key) && !Object.hasOwn(NUMBER_KEYS, key)) {
      throw new ConfigError(`--config: unknown key '${key}'`);
    }
  }
  const numbers = Object.fromEntries(
    Object.entries(NUMBER_KEYS).map(([name, rule]) => [name, checkNumber(name, content[name], rule)]),
  ) as Record<NumberKeyName, number>;
  return Object.freeze({
    ...numbers,
    allowed_paths: checkAllowedPaths(content["allowed_paths"]),
    end_tasks_on_stop: checkBoolean("end_tasks_on_stop", content["end_tasks_on_stop"]),
    remove_alloc_dirs: checkBoolean("remove_alloc_dirs", content["remove_alloc_dirs"]),
    socket_owner: checkAccount("socket_owner", content["socket_owner"]),
    socket_group: checkAccount("socket_group", content["socket_group"]),
    socket_mode: checkSocketMode(content["socket_mode"]),
    ...checkAccessSettings(content["tls"], content["access"]),
  });
}

function checkBoolean(name: string, value: unknown = false): boolean {
  if (typeof value !== "boolean") throw new ConfigError(`--config: ${name} must be true or false`);
  return value;
}

function checkAccount(name: string, value: unknown): string | undefined {
  if (value === undefined || (typeof value === "string" && /^[^\s:\0]{1,64}$/.test(value))) return value;
  throw new ConfigError(`--config: ${name} must be a name or a number, as a string`);
}

function checkSocketMode(value: unknown = "0600"): number {
  const mode = Object.entries(SOCKET_MODES).find(([text]) => text === value)?.[1];
  if (mode === undefined) throw new ConfigError('--config: socket_mode must be "0600" or "0660"');
  return mode;
}

function checkNumber(name: string, value: unknown, { min, max, byDefault }: NumberKey): number {
  if (value === undefined) return byDefault;
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw new ConfigError(`--config: ${name} must be a whole number, ${min} to ${max}`);
  }
  return value;
}

function checkAllowedPaths(value: unknown): readonly AllowedPath[] {
  if (value === undefined) return Object.freeze(ALLOWED_PATHS);
  if (!Array.isArray(value)) throw new ConfigError("--config: allowed_paths must be a list");
  return Object.freeze(value.map((entry: unknown, index) => checkAllowedPath(entry, index)));
}

function checkAllowedPath(entry: unknown, index: number): AllowedPath {
  const name = `allowed_paths[${index}]`;
  if (!isObject(entry)) throw new ConfigError(`--config: ${name} must be an object`);
  const unknown = Object.keys(entry).find((key) => key !== "path" && key !== "writable");
  if (unknown !== undefined) throw new ConfigError(`--config: unknown key '${unknown}' in ${name}`);
  const { path } = entry;
  const writable = checkBoolean(`${name}.writable`, entry["writable"]);
  if (typeof path !== "string") throw new ConfigError(`--config: ${name}.path must be a string`);
  try {
    checkPath(`${name}.path`, path);
  } catch (error) {
    throw new ConfigError(`--config: ${(error as Error).message}`, { cause: error });
  }
  return Object.freeze({ path, writable });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
