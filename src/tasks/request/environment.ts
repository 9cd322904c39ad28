import type { Limits } from "../limits.js";

export interface EnvironmentInput {
  readonly env: ReadonlyMap<string, string>;
  readonly ip: string | undefined;
  readonly ports: ReadonlyMap<string, number>;
  readonly meta: ReadonlyMap<string, string>;
  /** The user's name, or its number where it has no entry. */
  readonly user: string;
  /** Those asked for so far. */
  readonly limits: Limits;
}

/** Where every task finds what it shares with its alloc, and what is its own. */
export const ALLOC_DIR = "/alloc";
export const LOCAL_DIR = "/local";

const BYTES_PER_MIB = 1n << 20n;

/** The directories of the default chroot, and those that a chroot may add; users' before administrators'. */
const PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/**
 * The whole environment of a task; nothing of the daemon's own is in it.
 *
 * The request's `env` wins over all but NOMAD_ALLOC_DIR and NOMAD_TASK_DIR: those say where the
 * directories are, and cannot be asked to be elsewhere. NOMAD_MEMORY_LIMIT is in MiB, rounded
 * down; NOMAD_CPU_LIMIT in MHz (1 share = 1 MHz). What is not known is not there.
 */
export function taskEnvironment(input: EnvironmentInput): Map<string, string> {
  const { env, ip, ports, meta, user, limits } = input;
  const result = new Map([
    ["PATH", PATH],
    ["HOME", LOCAL_DIR],
    ["USER", user],
    ["LOGNAME", user],
  ]);
  if (limits.memoryBytes !== undefined) {
    result.set("NOMAD_MEMORY_LIMIT", String(limits.memoryBytes / BYTES_PER_MIB));
  }
  if (limits.cpuShares !== undefined) result.set("NOMAD_CPU_LIMIT", String(limits.cpuShares));
  if (ip !== undefined) result.set("NOMAD_IP", ip);
  for (const [label, port] of ports) result.set(`NOMAD_PORT_${label}`, String(port));
  for (const [key, value] of meta) result.set(`NOMAD_META_${key.toUpperCase()}`, value);
  for (const [name, value] of env) result.set(name, value);
  return result.set("NOMAD_ALLOC_DIR", ALLOC_DIR).set("NOMAD_TASK_DIR", LOCAL_DIR);
}
