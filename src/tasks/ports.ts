/**
 * What the lifecycle of a task needs from the host. `src/host` implements these
 * interfaces; this room owns them, and knows nothing of how they are met.
 */
import type { Owner } from "./access/identity.js";
import type { HelperStep } from "./helper-step.js";
import type { Limits, LimitName } from "./limits.js";
import type { TimeLimits } from "./request/time-limits.js";
import type { EndCause, Exit, Overrun, Usage } from "./exit.js";
import type { AnsweredRequest } from "./idempotency/request-id.js";
import type { Labels } from "./request/labels.js";

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

/** A file that is to be there before a task's command may start. */
export interface FileSpec {
  /** In the task, below /local or a shared directory of /alloc. */
  readonly path: string;
  /** 0 to 0o777. */
  readonly mode: number;
  readonly content: Uint8Array;
}

/** Everything the launcher needs to make a task's init and its waiting command. */
export interface SandboxSpec extends TimeLimits {
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
  readonly files: readonly FileSpec[];
  /** What the command reads from its stdin; absent or empty: /dev/null. */
  readonly stdin: Uint8Array | undefined;
}

/** A step of the helper that failed. `index`: which mount, group, cgroup, file or PATH element; -1: none. */
export interface StepFault {
  readonly step: HelperStep;
  readonly errno: string;
  readonly index: number;
  /** Of FIND_INTERPRETER: the interpreter that is missing, inside the task; absent or empty: not known. */
  readonly path?: string;
}

/** What init said about the end of the main process. Times: nanoseconds since the epoch. */
export interface InitExit {
  readonly waitStatus: number;
  readonly ended: boolean;
  readonly started: boolean;
  /** Init keeps a time limit. */
  readonly limited: boolean;
  /** The time limit for which init has killed the task, or is about to; undefined: it has let it be. */
  readonly overrun: Overrun | undefined;
  /** Where it has ended: somebody outside the task still held its stdout or stderr. */
  readonly outputTruncated: boolean;
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

/**
 * Which processes a sandbox is, so that they are known again, and no other for them: the start time in clock ticks since
 * boot (field 22 of /proc/<pid>/stat) tells two processes with the same pid apart.
 */
export interface SandboxProcesses {
  readonly initPid: number;
  readonly initStartTicks: bigint;
  readonly commandPid: number;
  readonly commandStartTicks: bigint;
}

/** A task's init and command, by way of the launcher. */
export interface Sandbox {
  readonly processes: SandboxProcesses;
  /** Resolves when exec has succeeded, with the time of it; rejects with a HelperFault, or a StartUnknown. */
  start(command: CommandSpec): Promise<{ readonly startedNs: bigint }>;
  /** False: the main process has ended already. */
  signal(signal: number): Promise<boolean>;
  /** SIGKILL to init, and by the kernel to everything in its pid namespace. */
  killInit(): void;
  /**
   * Resolves when init kills the task for a time limit, which may not end what is frozen; undefined: init is not heard
   * any more, and its record alone says so. Never rejects.
   */
  readonly overrun: Promise<Overrun | undefined>;
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

/** The helper has gone: nothing that needs it can be done until there is another. */
export class HelperGone extends Error {
  constructor(how: string) {
    super(`the launcher has gone: ${how}`);
    this.name = "HelperGone";
  }
}

/** Who could tell has gone before he could: whether exec has succeeded is in init's record alone. */
export class StartUnknown extends Error {
  constructor() {
    super("whether exec has succeeded was not heard");
    this.name = "StartUnknown";
  }
}

/** A file of a task to be copied out of its reach. */
export interface Collect {
  readonly allocId: string;
  readonly taskName: string;
  /** In the task, below /local or /alloc. */
  readonly path: string;
  /** As far as it is copied. */
  readonly maxBytes: bigint;
  /** Absolute path of the host: what the copy is to be. What is there is replaced. */
  readonly into: string;
}

/** What was collected, as it was when the last byte of it had been copied. */
export interface CollectedFile {
  /** All of it, whether or not it was copied. */
  readonly sizeBytes: bigint;
  /** There is more of it than was to be copied. */
  readonly truncated: boolean;
  /** Its permissions, 0 to 0o777. */
  readonly mode: number;
}

export interface SandboxHost {
  /** Makes init and the waiting command; rejects with a HelperFault, or with the signal's reason when aborted, and then leaves nothing. */
  create(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox>;
  /**
   * The sandbox that an earlier launcher made; undefined: its init is not there any more. Of its end `exited` tells
   * no more than that it has come: how, is in init's record.
   */
  attach(processes: SandboxProcesses): Promise<Sandbox | undefined>;
  /**
   * Kills the init whose exit record is in a directory, and all of its task with it; resolves to its pid when nothing
   * of it is there, or does not die in 10 s, or to undefined where nobody holds one there.
   */
  killHolder(recordDir: string): Promise<number | undefined>;
  /** Kills every init that an earlier launcher has left and that has not been attached; resolves when none is there. */
  killStrays(): Promise<void>;
  /** Removes what the scope names, following no link; what is not there is no error. */
  remove(scope: RemoveScope, allocId: string, taskName: string): Promise<void>;
  /**
   * Copies a regular file that the task's user may read, following no link. Rejects with a HelperFault: OPEN_COLLECTED
   * is about the file (ENOENT, EACCES, ENOTDIR; ELOOP: a link; EXDEV: another mount; EISDIR; EINVAL: no regular file,
   * or not below /local or /alloc; EAGAIN: a process holds a lease of it), COPY_COLLECTED about the host. What is at
   * `into` then is the caller's to remove.
   */
  collect(collect: Collect): Promise<CollectedFile>;
}

/** Of a task's directories: all but /local in its own; its own; the alloc's. */
export type RemoveScope = "trees" | "task" | "alloc";

export interface HostPaths {
  /** The directories in an alloc directory, the shared one and each task's; undefined: it is not there. */
  allocEntries(allocId: string): Promise<readonly string[] | undefined>;
  /** Absolute path without links of the directory in which a task's root is made, there or not. */
  taskDirectory(allocId: string, taskName: string): Promise<string>;
  /** Absolute paths without links of the directories that hold what is all tasks' and the daemon's. */
  ownDirectories(): Promise<readonly string[]>;
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
  /** Absolute path of what counts the CPU time of all its processes, cpu.stat of v2 or cpuacct.usage of v1; undefined: nothing does. */
  readonly cpuTimeFile: string | undefined;
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
 * the host. Nothing has changed. `errno`: EINVAL, ERANGE, ENOSPC, … `why`, where more is known than that, is for
 * people.
 */
export class LimitRefused extends Error {
  readonly code = "LIMIT_REFUSED";
  readonly why: string;
  constructor(
    readonly limit: LimitName,
    readonly errno: string,
    { why, ...options }: ErrorOptions & { readonly why?: string } = {},
  ) {
    super(`set '${limit}': ${errno}`, options);
    this.name = "LimitRefused";
    this.why = why ?? `the kernel answers ${errno}`;
  }
}

export interface CgroupHost {
  /** The kernel counts the CPU time that is used in a task's cgroup. */
  readonly countsCpuTime: boolean;
  /** Makes `<root>/<name>` in every hierarchy; leaves nothing when it fails. */
  create(name: string): Promise<TaskCgroup>;
  /** Kills and removes those tasks' cgroups that are not to be kept, by name, as far as that can be done; resolves to the names of all that are there then. */
  sweep(keep: ReadonlySet<string>): Promise<ReadonlySet<string>>;
  /** The cgroup of a task that an earlier daemon has made; `known`: the limits that have been set. */
  attach(name: string, known: Limits): TaskCgroup;
}

/** Whether Configure has found an alloc's and a task's directory there: what it has not, it takes away if it fails. */
export interface FoundDirectories {
  readonly alloc: boolean;
  readonly task: boolean;
}

/** What is known of a task, to be found again by the next daemon. Secrets, such as its environment, are none of it. */
export interface TaskRecord {
  readonly id: string;
  readonly uuid: string;
  /** The alloc's name on this host (access/alloc-name.ts), as wherever the host is asked for one. */
  readonly allocId: string;
  readonly taskName: string;
  readonly labels: Labels;
  /** That it has come of, where that can be repeated. */
  readonly request: AnsweredRequest | undefined;
  /** Whose it is; undefined: the host's own administrator's. */
  readonly owner: Owner | undefined;
  readonly chrootMethod: "bind" | "link";
  /** Below the cgroup mount; undefined: it has none. */
  readonly cgroup: string | undefined;
  /** In nanoseconds since the epoch. */
  readonly configuredNs: bigint;
  /** Of the boot in which the processes are: /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
  /** Undefined: Configure is under way. */
  readonly processes: SandboxProcesses | undefined;
  readonly found: FoundDirectories;
  /** Those that have been set, as asked for. */
  readonly limits: Limits;
  /** On record before anything is killed for it. */
  readonly cause: EndCause | undefined;
  /** A client has asked for SIGKILL. */
  readonly killSent: boolean;
  /** When the grace period of a Shutdown ends, in nanoseconds of that boot's CLOCK_MONOTONIC. */
  readonly graceEndsNs: bigint | undefined;
  /** How it ended; undefined: it has not, or nobody has looked yet. */
  readonly exit: Exit | undefined;
}

export interface LoadedRecords {
  readonly records: readonly TaskRecord[];
  /** Of the tasks of a newer daemon, which stay as they are, for it to find. */
  readonly newer: readonly string[];
  readonly unreadable: readonly UnreadableRecord[];
}

export interface UnreadableRecord {
  readonly uuid: string;
  /** Absolute path: where its record directory has been set aside, or still is. */
  readonly directory: string;
}

export interface RecordStore {
  /** Absolute path of a task's record directory. */
  directoryOf(uuid: string): string;
  /** Makes it, with nothing in it. */
  create(uuid: string): Promise<void>;
  /**
   * Replaces a task's record, whole: what was there, or what is new, survives the death of any process from the moment
   * that this resolves, and a loss of power from at most a second later. Those of one task are written in their order.
   */
  write(record: TaskRecord): Promise<void>;
  /** Init has written of a start or an end: that survives a loss of power from at most a second later, too. */
  sync(uuid: string): void;
  /** What init has written of the end; undefined: nothing that can be relied on. */
  readExit(uuid: string): Promise<InitExit | undefined>;
  /**
   * Has `written` called whenever init has written; gives what ends that. Throws Node's error where that cannot be
   * watched.
   */
  watchExit(uuid: string, written: () => void): () => void;
  /** Every record that can be read. The others are reported, and set aside. */
  load(): Promise<LoadedRecords>;
  /** Resolves when all that has been written survives a loss of power. */
  flush(): Promise<void>;
  /** Removes it and all that is in it. Repeating it is fine. */
  remove(uuid: string): Promise<void>;
}

/** What is collected of tasks, from when it is copied until it has been read. What a daemon that dies leaves of it the next one removes. */
export interface CollectedStore {
  /** Makes room for what is to be collected of a task that has ended: a path in its record directory where nothing is. */
  roomForCollected(uuid: string): Promise<string>;
  /** What has been collected there, in pieces of 64 KiB at most. */
  readCollected(path: string): AsyncIterable<Buffer>;
  /** What is not there is no error. */
  removeCollected(path: string): Promise<void>;
}

/** Where the daemon says what its operators need to know. */
export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}
