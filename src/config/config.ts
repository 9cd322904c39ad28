import type { AllowedPath } from "../tasks/request/policy.js";
import type { ListenAddress } from "./listen-address.js";

/** Everything that can be configured, checked; frozen. Paths are absolute. */
export interface Config {
  readonly listen: readonly ListenAddress[];
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
  /** How long the record of an ended task is kept. */
  readonly endedTtlMs: number;
  /** How many records of ended tasks are kept. */
  readonly endedMaxRecords: number;
  /** How many tasks may be alive at one time. */
  readonly maxTasks: number;
  /** What tasks may be given of the host's files. */
  readonly allowedPaths: readonly AllowedPath[];
}
