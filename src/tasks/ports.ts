/**
 * What the lifecycle of a task needs from the host. `src/host` implements these
 * interfaces; this room owns them, and knows nothing of how they are met.
 */
import type { HelperStep } from "./helper-step.js";
import type { Limits, LimitName } from "./limits.js";
import type { Usage } from "./exit.js";

/** A path of the host in the task's root. */
export interface MountSpec {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** Skip a source that is not there. */
  readonly optional: boolean;
  /** Embed by hard links and copies instead of a bind mount. */
  readonly link: boolean;
  /** What of the request asks for the target, "mounts[2].target"; absent: nothing does. */
  readonly field?: string;
}

/** Everything the launcher needs to make a task's init and its waiting command. */
export interface SandboxSpec {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly allocId: string;
  readonly taskName: string;
  readonly recordDir: string;
  readonly workDir: string;
  readonly ownNetwork: boolean;
  readonly mounts: readonly MountSpec[];
  readonly cgroup: TaskCgroup | undefined;
}

/** A step of the helper that failed. `index`: which mount, group, cgroup or PATH element; -1: none. */
export interface StepFault {
  readonly step: HelperStep;
  readonly errno: string;
  readonly index: number;
}

/** What init said about the end of the main process. Times: nanoseconds since the epoch. */
export interface InitExit {
  readonly waitStatus: number;
  readonly ended: boolean;
  readonly started: boolean;
  readonly startedNs: bigint;
  readonly exitedNs: bigint;
  readonly stdoutDroppedBytes: bigint;
  readonly stderrDroppedBytes: bigint;
  /** Of the reaped children; for hosts without cgroups. Microseconds, bytes. */
  readonly cpuUserUs: bigint;
  readonly cpuSystemUs: bigint;
  readonly memoryPeakBytes: bigint;
}

export interface CommandSpec {
  readonly argv: readonly string[];
  readonly env: ReadonlyMap<string, string>;
}

/** A task's init and command, by way of the launcher. */
export interface Sandbox {
  readonly initPid: number;
  readonly commandPid: number;
  readonly initStartTicks: bigint;
  /** Resolves when exec has succeeded, with the time of it; rejects with a HelperFault. */
  start(command: CommandSpec): Promise<{ readonly startedNs: bigint }>;
  /** False: the main process has ended already. */
  signal(signal: number): Promise<boolean>;
  /** SIGKILL to init, and by the kernel to everything in its pid namespace. */
  killInit(): void;
  /** Resolves once nothing but init is left of it; undefined: init has been reaped, and died without a word. Never rejects. */
  readonly exited: Promise<InitExit | undefined>;
  /** Resolves once init has been reaped, which is after `exited`. Never rejects. */
  readonly ended: Promise<undefined>;
}

/** A step of the helper failed. `command` is where a failed exec looked, inside the task. */
export class HelperFault extends Error {
  constructor(readonly fault: StepFault) {
    super(`${fault.step}: ${fault.errno}`);
    this.name = "HelperFault";
  }
}

export interface SandboxHost {
  /** Makes init and the waiting command; rejects with a HelperFault, or with the signal's reason when aborted, and then leaves nothing. */
  create(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox>;
  /** Removes what the scope names, following no link; what is not there is no error. */
  remove(scope: RemoveScope, allocId: string, taskName: string): Promise<void>;
}

/** Of a task's directories: all but /local in its own; its own; the alloc's. */
export type RemoveScope = "trees" | "task" | "alloc";

export interface HostPaths {
  /** The directories in an alloc directory, the shared one and each task's; undefined: it is not there. */
  allocEntries(allocId: string): Promise<readonly string[] | undefined>;
  /** Absolute path without links; undefined: not there. */
  realpath(path: string): Promise<string | undefined>;
  /** Where a symlink leads, as written; undefined: no symlink, or not there. */
  readlink(path: string): Promise<string | undefined>;
}

/** One task's cgroup: one directory on v2, one in each hierarchy on v1. */
export interface TaskCgroup {
  /** Below the cgroup mount, the same in each hierarchy: "/stockade/0198…". */
  readonly path: string;
  /** Absolute directories: of the v2 cgroup, if there is one, and of each v1 hierarchy. */
  readonly v2Dir: string | undefined;
  readonly v1Dirs: readonly string[];
  /** Names of the limits asked for that cannot be enforced here, with the reason. */
  unenforceable(limits: Limits): ReadonlyMap<LimitName, string>;
  /**
   * Writes limits, all or none. `taken` are those to write: the caller has left out what is
   * unenforceable. Rejects with a MemoryInUse if the task uses more than the new limit and
   * reclaim did not help; then nothing has changed.
   */
  setLimits(limits: Limits): Promise<void>;
  /** The limits in force, from the kernel. */
  readLimits(): Promise<Limits>;
  readUsage(): Promise<Usage>;
  /** How often the kernel has killed a process of the task for want of memory. */
  readOomKills(): Promise<number>;
  /** Kills every process, frozen and stopped ones too; resolves once the cgroup is empty. */
  kill(): Promise<void>;
  /** False: it is not empty, and has not been removed. */
  removeIfEmpty(): Promise<boolean>;
  /** Removes the directories; resolves when they are gone. Repeating it is fine. */
  remove(): Promise<void>;
}

/** The task uses more memory than the limit that was to be set. */
export class MemoryInUse extends Error {
  constructor(
    readonly limitBytes: bigint,
    readonly usedBytes: bigint,
  ) {
    super(`the task uses ${usedBytes} bytes of memory`);
    this.name = "MemoryInUse";
  }
}

/**
 * The kernel, or its documented rules, refuse the value of a limit: the request is wrong, not
 * the host. Nothing has changed. `errno`: EINVAL, ERANGE, ENOSPC, …
 */
export class LimitRefused extends Error {
  readonly code = "LIMIT_REFUSED";
  constructor(
    readonly limit: LimitName,
    readonly errno: string,
    options?: ErrorOptions,
  ) {
    super(`set '${limit}': ${errno}`, options);
    this.name = "LimitRefused";
  }
}

export interface CgroupHost {
  /** Makes `<root>/<name>` in every hierarchy; leaves nothing when it fails. */
  create(name: string): Promise<TaskCgroup>;
}

export interface RecordStore {
  /** Makes a task's record directory, with nothing in it; answers its absolute path. */
  create(uuid: string): Promise<string>;
  /** Removes it and all that is in it. Repeating it is fine. */
  remove(uuid: string): Promise<void>;
}

/** Where the daemon says what its operators need to know. */
export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}
