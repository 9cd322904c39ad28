import type { AccessEntry } from "../tasks/access/entry.js";
import type { AllowedPath } from "../tasks/request/policy.js";
import type { TlsFiles } from "./access-settings.js";
import type { ListenAddress } from "./listen-address.js";

/** Everything that can be configured, checked; frozen. Paths are absolute. */
export interface Config {
  /** What --config names, absolute; undefined: nothing. */
  readonly configFile: string | undefined;
  readonly listen: readonly ListenAddress[];
  /** Undefined: TLS is not served. */
  readonly tls: TlsFiles | undefined;
  /** Who is known of those that call over TLS. */
  readonly access: readonly AccessEntry[];
  /** Of each unix socket. Owner and group by name or number; undefined: the daemon's own. */
  readonly socket: {
    readonly owner: string | undefined;
    readonly group: string | undefined;
    readonly mode: number;
  };
  /** How many connections there may be, over TLS, and to each other listener. */
  readonly maxConnections: number;
  /** How many calls one caller may have under way. */
  readonly maxCalls: number;
  /** How often each connection is asked whether anybody is there. */
  readonly keepaliveMs: number;
  /** Tasks' records. */
  readonly stateDir: string;
  /** Alloc directories. */
  readonly allocDir: string;
  /** Below the cgroup mount: "/stockade". Undefined: found on the host. */
  readonly cgroupRoot: string | undefined;
  /** Uid and gid of every task's init. */
  readonly initUid: number;
  /** Most bytes of each of a task's two logs. */
  readonly logBytes: bigint;
  /** Size of a task's /tmp. */
  readonly tmpBytes: bigint;
  /** Size of a task's /dev/shm. */
  readonly shmBytes: bigint;
  /** Most bytes that are copied for one task where linking fails. */
  readonly linkBytes: bigint;
  /** How long a task waits for Start. */
  readonly unstartedTtlMs: number;
  /** How many bytes the requests of tasks that wait for Start may take in memory. */
  readonly unstartedBytes: number;
  /** Whether the daemon's stop ends its tasks; else they run on, for the next daemon to find. */
  readonly endTasksOnStop: boolean;
  /** How long the record of an ended task is kept. */
  readonly endedTtlMs: number;
  /** How many records of ended tasks are kept. */
  readonly endedMaxRecords: number;
  /** Whether the directories of a task go with its record. */
  readonly removeAllocDirs: boolean;
  /** How many tasks may be alive at one time. */
  readonly maxTasks: number;
  /** How many streams may be open at one time. */
  readonly maxStreams: number;
  /** What tasks may be given of the host's files. */
  readonly allowedPaths: readonly AllowedPath[];
}
