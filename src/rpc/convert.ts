/** Between the messages of the API and the types of `src/tasks`. Total in both directions. */
import {
  ChrootMethod,
  ExitReason,
  NetworkMode,
  OpenMode,
  TaskState as ProtoTaskState,
  type ConfigureRequest,
  type Exit as ProtoExit,
  type Resources,
  type Usage as ProtoUsage,
} from "../gen/executor/v1/executor.js";
import type { Duration } from "../gen/google/protobuf/duration.js";
import type { Timestamp } from "../gen/google/protobuf/timestamp.js";
import type { Exit, ExitReasonName, Usage } from "../tasks/exit.js";
import { invalidField } from "../tasks/errors.js";
import type { Limits } from "../tasks/limits.js";
import type { ConfigureInput } from "../tasks/request/spec.js";
import type { TaskState } from "../tasks/task.js";

const NS_PER_SECOND = 1_000_000_000n;

function chrootMethod(value: ChrootMethod): ConfigureInput["chrootMethod"] {
  switch (value) {
    case ChrootMethod.CHROOT_METHOD_UNSPECIFIED:
    case ChrootMethod.CHROOT_METHOD_BIND:
      return "bind";
    case ChrootMethod.CHROOT_METHOD_LINK:
      return "link";
    case ChrootMethod.UNRECOGNIZED:
    default:
      throw invalidField("chroot_method", "chroot_method is not a value of ChrootMethod");
  }
}

function networkMode(value: NetworkMode): ConfigureInput["network"] {
  switch (value) {
    case NetworkMode.NETWORK_MODE_UNSPECIFIED:
    case NetworkMode.NETWORK_MODE_NONE:
      return "none";
    case NetworkMode.NETWORK_MODE_HOST:
      return "host";
    case NetworkMode.UNRECOGNIZED:
    default:
      throw invalidField("network.mode", "network.mode is not a value of NetworkMode");
  }
}

export function toConfigureInput(request: ConfigureRequest): ConfigureInput {
  return {
    allocId: request.allocId,
    taskName: request.taskName,
    command: request.command,
    args: request.args,
    commandLine: request.commandLine,
    env: request.env,
    user: request.user,
    group: request.group,
    supplementaryGroups: request.supplementaryGroups,
    workDir: request.workDir,
    chroot: request.chroot,
    chrootMethod: chrootMethod(request.chrootMethod),
    mounts: request.mounts,
    network: networkMode(request.network?.mode ?? NetworkMode.NETWORK_MODE_UNSPECIFIED),
    ip: request.ip,
    ports: request.ports,
    meta: request.meta,
    allowUnenforced: request.allowUnenforced,
    timeout: request.timeout,
    cpuTimeLimit: request.cpuTimeLimit,
    labels: request.labels,
    requestId: request.requestId,
  };
}

export function toOpenMode(value: OpenMode): "reattach" | "kill" {
  switch (value) {
    case OpenMode.OPEN_MODE_UNSPECIFIED:
    case OpenMode.OPEN_MODE_REATTACH:
      return "reattach";
    case OpenMode.OPEN_MODE_KILL:
      return "kill";
    case OpenMode.UNRECOGNIZED:
    default:
      throw invalidField("mode", "mode is not a value of OpenMode");
  }
}

/** What is absent stays absent: 0 is a value that the rules refuse. */
export function toLimits(resources: Resources): Limits {
  return withoutAbsent({
    memoryBytes: resources.memoryBytes,
    memoryReservationBytes: resources.memoryReservationBytes,
    cpuShares: resources.cpuShares,
    cpuMillis: resources.cpuMillis,
    cpusetCpus: resources.cpusetCpus,
    ioWeight: resources.ioWeight,
    pidsMax: resources.pidsMax,
  });
}

export function fromLimits(limits: Limits): Resources {
  return {
    memoryBytes: limits.memoryBytes,
    memoryReservationBytes: limits.memoryReservationBytes,
    cpuShares: limits.cpuShares,
    cpuMillis: limits.cpuMillis,
    cpusetCpus: limits.cpusetCpus,
    ioWeight: limits.ioWeight,
    pidsMax: limits.pidsMax,
  };
}

const STATES = {
  configured: ProtoTaskState.TASK_STATE_CONFIGURED,
  starting: ProtoTaskState.TASK_STATE_CONFIGURED,
  running: ProtoTaskState.TASK_STATE_RUNNING,
  ended: ProtoTaskState.TASK_STATE_ENDED,
} as const satisfies Record<TaskState, ProtoTaskState>;

export function fromState(state: TaskState): ProtoTaskState {
  return STATES[state];
}

const REASONS = {
  EXITED: ExitReason.EXIT_REASON_EXITED,
  SIGNALED: ExitReason.EXIT_REASON_SIGNALED,
  OOM_KILLED: ExitReason.EXIT_REASON_OOM_KILLED,
  FORCE_STOPPED: ExitReason.EXIT_REASON_FORCE_STOPPED,
  TIMED_OUT: ExitReason.EXIT_REASON_TIMED_OUT,
  CPU_TIME_EXCEEDED: ExitReason.EXIT_REASON_CPU_TIME_EXCEEDED,
  NEVER_STARTED: ExitReason.EXIT_REASON_NEVER_STARTED,
  LOST: ExitReason.EXIT_REASON_LOST,
} as const satisfies Record<ExitReasonName, ExitReason>;

function fromStatus(status: Exit["status"]): ProtoExit["status"] {
  switch (status.kind) {
    case "exitCode":
      return { $case: "exitCode", value: status.code };
    case "signal":
      return { $case: "signal", value: status.signal };
    case "unknown":
      return { $case: "unknown", value: true };
  }
}

export function fromExit(exit: Exit): ProtoExit {
  return {
    status: fromStatus(exit.status),
    reason: REASONS[exit.reason],
    oomKilled: exit.oomKilled,
    coreDumped: exit.coreDumped,
    startedAt: exit.startedNs === undefined ? undefined : timestamp(exit.startedNs),
    exitedAt: timestamp(exit.exitedNs),
    usage: fromUsage(exit.usage),
    stdoutDroppedBytes: exit.stdoutDroppedBytes,
    stderrDroppedBytes: exit.stderrDroppedBytes,
    outputTruncated: exit.outputTruncated,
  };
}

function fromUsage(usage: Usage): ProtoUsage {
  return {
    cpuUser: usage.cpuUserUs === undefined ? undefined : duration(usage.cpuUserUs * 1000n),
    cpuSystem: usage.cpuSystemUs === undefined ? undefined : duration(usage.cpuSystemUs * 1000n),
    memoryPeakBytes: usage.memoryPeakBytes,
    pidsPeak: usage.pidsPeak,
    ioReadBytes: usage.ioReadBytes,
    ioWriteBytes: usage.ioWriteBytes,
  };
}

export function timestamp(ns: bigint): Timestamp {
  return { seconds: ns / NS_PER_SECOND, nanos: Number(ns % NS_PER_SECOND) };
}

function duration(ns: bigint): Duration {
  return { seconds: ns / NS_PER_SECOND, nanos: Number(ns % NS_PER_SECOND) };
}

/** With `exactOptionalPropertyTypes`, absent is a key that is not there. */
function withoutAbsent<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
