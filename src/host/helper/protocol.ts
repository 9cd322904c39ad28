/**
 * The messages between daemon and launcher: native/protocol.h in TypeScript, which is
 * where their fields are explained. A test reads that file and holds both against each
 * other.
 */
import { constants } from "node:os";

import type { Overrun } from "../../tasks/exit.js";
import { readExitFlags } from "../../tasks/exit-flags.js";
import { HELPER_STEPS, type HelperStep } from "../../tasks/helper-step.js";
import type {
  Collect,
  CollectedFile,
  CommandSpec,
  InitExit,
  MountSpec,
  RemoveScope,
  SandboxProcesses,
  SandboxSpec,
  StepFault,
} from "../../tasks/ports.js";
import { BodyReader, BodyWriter, MESSAGE_SIZE_MAX } from "./wire.js";

export { MESSAGE_SIZE_MAX };

export const PROTOCOL_VERSION = 7;
export const HEADER_SIZE = 16;

export const TO_LAUNCHER = {
  CREATE: 1,
  START: 2,
  SIGNAL: 3,
  KILL_INIT: 4,
  REMOVE: 5,
  ATTACH: 6,
  COLLECT: 7,
  FIND_INIT: 8,
} as const;
export const TO_DAEMON = {
  HELLO: 101,
  READY: 102,
  FAULT: 103,
  STARTED: 104,
  ENDED: 105,
  REMOVED: 106,
  SIGNALLED: 107,
  EXITED: 108,
  ATTACHED: 109,
  OVERRUN: 110,
  COLLECTED: 111,
  FOUND_INIT: 112,
} as const;

/** An i32's. */
const PID_MAX = 2 ** 31 - 1;

/** An i64's. Source: off_t. */
const FILE_SIZE_MAX = 2n ** 63n - 1n;

export const CREATE_FLAGS = { USER_NS: 1, NET_NS: 2 } as const;
export const MOUNT_FLAGS = { READ_ONLY: 1, OPTIONAL: 2, LINK: 4 } as const;
export const REMOVE_SCOPES = { trees: 0, task: 1, alloc: 2 } as const;

/** What every task of one daemon shares. */
export interface SandboxDefaults {
  readonly allocRoot: string;
  readonly initUid: number;
  /** Whose users the tasks have: the host's; those mapped for the launcher; each the daemon's own alone. */
  readonly users: "host" | "launcher" | "own";
  /** What /proc/<pid>/cgroup shows before a cgroup's path below the mount. */
  readonly cgroupPrefix: string;
  readonly tmpBytes: bigint;
  readonly shmBytes: bigint;
  readonly logBytes: bigint;
  readonly linkBytes: bigint;
}

export type DaemonMessage =
  | { readonly type: "HELLO"; readonly version: number; readonly errno: string | undefined }
  | { readonly type: "READY"; readonly processes: SandboxProcesses }
  | { readonly type: "FAULT"; readonly fault: StepFault }
  | { readonly type: "STARTED"; readonly startedNs: bigint }
  | { readonly type: "OVERRUN"; readonly overrun: Overrun }
  | { readonly type: "EXITED"; readonly exit: InitExit }
  | { readonly type: "ENDED" }
  | { readonly type: "REMOVED"; readonly step: HelperStep | undefined; readonly errno: string }
  | { readonly type: "SIGNALLED"; readonly errno: string | undefined }
  | { readonly type: "ATTACHED"; readonly errno: string | undefined }
  | {
      readonly type: "FOUND_INIT";
      readonly errno: string | undefined;
      readonly initPid: number;
      readonly initStartTicks: bigint;
    }
  | {
      readonly type: "COLLECTED";
      readonly step: HelperStep | undefined;
      readonly errno: string;
      readonly file: CollectedFile;
    };

function message(type: number, task: bigint, body: Buffer): Buffer {
  const header = Buffer.allocUnsafe(HEADER_SIZE);
  header.writeUInt32LE(body.length, 0);
  header.writeUInt32LE(type, 4);
  header.writeBigUInt64LE(task, 8);
  return Buffer.concat([header, body]);
}

function mountFlags(mount: MountSpec): number {
  return (
    (mount.readOnly ? MOUNT_FLAGS.READ_ONLY : 0) |
    (mount.optional ? MOUNT_FLAGS.OPTIONAL : 0) |
    (mount.link ? MOUNT_FLAGS.LINK : 0)
  );
}

export function encodeCreate(task: bigint, spec: SandboxSpec, defaults: SandboxDefaults): Buffer {
  const large = [spec.stdin, ...spec.files.map(({ content }) => content)];
  const body = new BodyWriter(large.reduce((sum, bytes) => sum + (bytes?.length ?? 0), 0));
  body
    .u32((defaults.users === "own" ? CREATE_FLAGS.USER_NS : 0) | (spec.ownNetwork ? CREATE_FLAGS.NET_NS : 0))
    .u32(spec.uid)
    .u32(spec.gid)
    .u32(defaults.initUid)
    .list(spec.groups, (group) => body.u32(group))
    .string(defaults.allocRoot)
    .string(spec.allocId)
    .string(spec.taskName)
    .string(spec.recordDir)
    .string(spec.taskName.slice(0, 63))
    .string(spec.workDir)
    .string(spec.cgroup === undefined ? "" : `${defaults.cgroupPrefix}${spec.cgroup.path}`)
    .string(spec.cgroup?.v2Dir ?? "")
    .list(spec.cgroup?.v1Dirs ?? [], (dir) => body.string(dir))
    .u64(defaults.tmpBytes)
    .u64(defaults.shmBytes)
    .u64(defaults.logBytes)
    .u64(defaults.linkBytes)
    .u64(spec.timeoutNs ?? 0n)
    .u64(spec.cpuTimeNs ?? 0n)
    .string(spec.cpuTimeNs === undefined ? "" : (spec.cgroup?.cpuTimeFile ?? ""))
    .list(spec.mounts, (mount) => body.string(mount.source).string(mount.target).u32(mountFlags(mount)))
    .list(spec.files, (file) => body.string(file.path).u32(file.mode).bytes(file.content))
    .bytes(spec.stdin ?? Buffer.alloc(0));
  return message(TO_LAUNCHER.CREATE, task, body.finish());
}

export function encodeStart(task: bigint, command: CommandSpec): Buffer {
  const body = new BodyWriter();
  body
    .string(command.env.get("PATH") ?? "")
    .list(command.argv, (word) => body.string(word))
    .list([...command.env], ([name, value]) => body.string(`${name}=${value}`));
  return message(TO_LAUNCHER.START, task, body.finish());
}

export function encodeSignal(task: bigint, signal: number): Buffer {
  return message(TO_LAUNCHER.SIGNAL, task, new BodyWriter().u32(signal).finish());
}

export function encodeKillInit(task: bigint): Buffer {
  return message(TO_LAUNCHER.KILL_INIT, task, Buffer.alloc(0));
}

export function encodeRemove(
  task: bigint,
  scope: RemoveScope,
  allocRoot: string,
  allocId: string,
  taskName: string,
): Buffer {
  const body = new BodyWriter().u32(REMOVE_SCOPES[scope]).string(allocRoot).string(allocId).string(taskName);
  return message(TO_LAUNCHER.REMOVE, task, body.finish());
}

/** Throws a RangeError for a size that is no file's. */
export function encodeCollect(task: bigint, collect: Collect, allocRoot: string): Buffer {
  const { allocId, taskName, path, maxBytes, into } = collect;
  if (maxBytes < 0n || maxBytes > FILE_SIZE_MAX) throw new RangeError(`no size of a file: ${maxBytes}`);
  const body = new BodyWriter().string(allocRoot).string(allocId).string(taskName);
  return message(TO_LAUNCHER.COLLECT, task, body.string(path).u64(maxBytes).string(into).finish());
}

/** Throws a RangeError for what cannot be the pid of an init or of a command: the launcher would end on it. */
export function encodeAttach(task: bigint, processes: SandboxProcesses, initUid: number): Buffer {
  const { initPid, initStartTicks, commandPid, commandStartTicks } = processes;
  const fits = (pid: number, least: number): boolean =>
    Number.isInteger(pid) && pid >= least && pid <= PID_MAX;
  if (!fits(initPid, 1) || !fits(commandPid, 0)) {
    throw new RangeError(`no pids of a task: ${initPid}, ${commandPid}`);
  }
  const body = new BodyWriter();
  body.u32(initPid).u64(initStartTicks).u32(initUid).u32(commandPid).u64(commandStartTicks);
  return message(TO_LAUNCHER.ATTACH, task, body.finish());
}

export function encodeFindInit(task: bigint, recordDir: string): Buffer {
  return message(TO_LAUNCHER.FIND_INIT, task, new BodyWriter().string(recordDir).finish());
}

/** EWOULDBLOCK is another name of EAGAIN, by which nobody looks for it. */
const ERRNO_NAMES = new Map(
  Object.entries(constants.errno)
    .filter(([name]) => name !== "EWOULDBLOCK")
    .map(([name, number]) => [number, name]),
);

function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
}

/** 0 is none. */
function readErrno(reader: BodyReader): string | undefined {
  const errno = reader.i32();
  return errno === 0 ? undefined : errnoName(errno);
}

/** Steps are numbered from 1 in the order of native/steps.def; 0 is none. */
function stepName(step: number): HelperStep {
  const name = HELPER_STEPS[step - 1];
  if (name === undefined) throw new RangeError(`unknown step ${step}`);
  return name;
}

function readProcesses(reader: BodyReader): SandboxProcesses {
  return {
    initPid: reader.i32(),
    initStartTicks: reader.u64(),
    commandPid: reader.i32(),
    commandStartTicks: reader.u64(),
  };
}

function readExit(reader: BodyReader): InitExit {
  const waitStatus = reader.i32();
  const flags = reader.u32();
  const startedNs = reader.u64();
  const exitedNs = reader.u64();
  reader.u64(); // stdout_bytes and stderr_bytes: the size of the logs says it
  reader.u64();
  return {
    waitStatus,
    ...readExitFlags(flags),
    startedNs,
    exitedNs,
    stdoutDroppedBytes: reader.u64(),
    stderrDroppedBytes: reader.u64(),
    cpuUserUs: reader.u64(),
    cpuSystemUs: reader.u64(),
    memoryPeakBytes: reader.u64(),
  };
}

/** Throws a RangeError for a message that native/protocol.h does not describe. */
export function decode(type: number, body: Buffer): DaemonMessage {
  const reader = new BodyReader(body);
  const decoded = decodeFields(type, reader);
  reader.end();
  return decoded;
}

function decodeFields(type: number, reader: BodyReader): DaemonMessage {
  switch (type) {
    case TO_DAEMON.HELLO:
      return { type: "HELLO", version: reader.u32(), errno: readErrno(reader) };
    case TO_DAEMON.READY:
      return { type: "READY", processes: readProcesses(reader) };
    case TO_DAEMON.FAULT:
      return {
        type: "FAULT",
        fault: {
          step: stepName(reader.u32()),
          errno: errnoName(reader.i32()),
          index: reader.u32(),
          path: reader.string(),
        },
      };
    case TO_DAEMON.STARTED: {
      const startedNs = reader.u64();
      reader.u64(); // boottime_ns
      return { type: "STARTED", startedNs };
    }
    case TO_DAEMON.OVERRUN: {
      const { overrun } = readExitFlags(reader.u32());
      if (overrun === undefined) throw new RangeError("an overrun of no limit");
      return { type: "OVERRUN", overrun };
    }
    case TO_DAEMON.EXITED:
      return { type: "EXITED", exit: readExit(reader) };
    case TO_DAEMON.ENDED:
      return { type: "ENDED" };
    case TO_DAEMON.REMOVED: {
      const step = reader.u32();
      return {
        type: "REMOVED",
        step: step === 0 ? undefined : stepName(step),
        errno: errnoName(reader.i32()),
      };
    }
    case TO_DAEMON.COLLECTED: {
      const step = reader.u32();
      return {
        type: "COLLECTED",
        step: step === 0 ? undefined : stepName(step),
        errno: errnoName(reader.i32()),
        file: { sizeBytes: reader.u64(), mode: reader.u32(), truncated: reader.u32() !== 0 },
      };
    }
    case TO_DAEMON.SIGNALLED:
      return { type: "SIGNALLED", errno: readErrno(reader) };
    case TO_DAEMON.ATTACHED:
      return { type: "ATTACHED", errno: readErrno(reader) };
    case TO_DAEMON.FOUND_INIT:
      return {
        type: "FOUND_INIT",
        errno: readErrno(reader),
        initPid: reader.i32(),
        initStartTicks: reader.u64(),
      };
    default:
      throw new RangeError(`unknown message type ${type}`);
  }
}
