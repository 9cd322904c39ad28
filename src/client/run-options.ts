/** What `run` is asked for, and the message that it becomes. */
import { createHash, randomUUID } from "node:crypto";

import { ChrootMethod, NetworkMode, RunRequest, type ConfigureRequest } from "../gen/executor/v1/executor.js";
import { toConfigureRequest, type ConfigureFields } from "./configure-fields.js";
import { parseTimeSpan, toDuration, type TimeSpan } from "./durations.js";
import { parseByteSize, toResources, type ByteSize, type Limits } from "./limits.js";
import { toCollectPaths, toInputFiles, type FileContent } from "./task-files.js";

/**
 * A program and its arguments, which are not split again; or a command line, which is split by shell-word rules: quotes
 * and escapes, no operators. In both `$NAME` and `${NAME}` stand for what is in the task's environment.
 */
export type Command = readonly [string, ...(readonly string[])] | string;

/** A path of the host that the task is to see. */
export interface MountOption {
  readonly source: string;
  readonly target: string;
  /** Default: false. */
  readonly readOnly?: boolean | undefined;
}

/** How a task is followed. */
export interface FollowOptions {
  /** Whether a task that has not exited with code 0 rejects, with a TaskFailedError. Default: true. */
  readonly reject?: boolean | undefined;
  /** How much of each stream the result has, in bytes. Default: 16 MiB. What streams are read has no limit. */
  readonly maxBuffer?: ByteSize | undefined;
  /**
   * After so much silence the daemon sends a word that nobody is shown, so that nothing on the way takes the stream for
   * a dead one. 1 s to 24 h. Default: 15 s.
   */
  readonly heartbeat?: TimeSpan | undefined;
}

/** What becomes of a task whose connection is cut, and of one whose handle is disposed of before its end. */
export interface HoldOptions {
  /**
   * What a cut connection does. "end": it ends the task, so that none outlives a program that has died. "keep": the task
   * goes on, and so does this handle once there is a connection again; should the program die, the task stays: give it
   * a `timeout`. A daemon that is restarted ends no task in either case. Default: "end".
   */
  readonly onDisconnect?: "end" | "keep" | undefined;
  /** The task goes on whatever becomes of this program, also when its handle is disposed of. Default: false. */
  readonly detach?: boolean | undefined;
  /** Ends the task when it fires, detached or not. */
  readonly signal?: AbortSignal | undefined;
}

/** What a task is; what is left out has the daemon's default. */
export interface TaskOptions {
  /** Names the task: no other of this name can run in the same `alloc`. Default: "task". */
  readonly name?: string | undefined;
  /** Names the directory that tasks of one alloc share. Default: `name`, or one of its own. */
  readonly alloc?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | ReadonlyMap<string, string> | undefined;
  /** Name or number. Default: nobody. */
  readonly user?: string | number | undefined;
  readonly group?: string | number | undefined;
  readonly supplementaryGroups?: readonly (string | number)[] | undefined;
  /** Where the command starts, inside the task. Default: /local. */
  readonly workDir?: string | undefined;
  /** Host path to path in the task; replaces the default map. */
  readonly chroot?: Readonly<Record<string, string>> | ReadonlyMap<string, string> | undefined;
  readonly chrootMethod?: "bind" | "link" | undefined;
  readonly mounts?: readonly MountOption[] | undefined;
  /** Default: "none". */
  readonly network?: "none" | "host" | undefined;
  /** What the task is known by; `list` finds by it. */
  readonly labels?: Readonly<Record<string, string>> | ReadonlyMap<string, string> | undefined;
  /** What the command reads from its standard input. Default: nothing. */
  readonly input?: string | Uint8Array | undefined;
  /** Written before it runs, in the task's name: paths below /local, or /alloc/data, /alloc/logs and /alloc/tmp, and what the files hold. */
  readonly files?: Readonly<Record<string, FileContent>> | undefined;
  /**
   * Files that the result is to have once the task has ended: paths below /local or /alloc, and of each how much at most, up
   * to 1 GiB. No link is followed.
   */
  readonly collect?: Readonly<Record<string, ByteSize>> | undefined;
  readonly limits?: Limits | undefined;
  /** How long it may run. */
  readonly timeout?: TimeSpan | undefined;
  /** How much CPU time all its processes may use together. */
  readonly cpuTimeLimit?: TimeSpan | undefined;
  /** Most output that is sent, of both streams together; the rest comes as gaps, and is in the log. */
  readonly maxOutput?: ByteSize | undefined;
  /**
   * Names this run, by 1 to 128 printable ASCII characters: another one with all the same is the same task, from this
   * program or the next, for as long as the task's record is kept. Default: one of its own, by which it is made again where
   * the answer was lost.
   */
  readonly requestId?: string | undefined;
  /** Run it also where the host cannot enforce all that is asked for: `started` tells what. Default: false. */
  readonly allowUnenforced?: boolean | undefined;
}

export interface RunOptions extends TaskOptions, FollowOptions, HoldOptions {}

const HEARTBEAT: TimeSpan = "15s";

/** Throws a TypeError for what cannot be sent. */
export function toRunRequest(command: Command, options: RunOptions): RunRequest {
  const { limits, maxOutput, heartbeat = HEARTBEAT, input = "", files = {}, collect = {} } = options;
  return RunRequest.fromPartial({
    configure: toConfigure(command, options),
    resources: limits === undefined || isEmpty(limits) ? undefined : toResources(limits),
    stdin: bytesOf(input),
    files: toInputFiles(files),
    collect: toCollectPaths(collect),
    outputMaxBytes: maxOutput === undefined ? undefined : parseByteSize(maxOutput, "maxOutput"),
    detachOnDisconnect: keepsOnDisconnect(options),
    heartbeatInterval: toDuration(parseTimeSpan(heartbeat, "heartbeat")),
  });
}

/** Whoever writes JavaScript gives streams, too, as other libraries take them. */
function bytesOf(input: string | Uint8Array): Buffer {
  try {
    return Buffer.from(input);
  } catch (cause) {
    throw new TypeError("input must be a string or bytes: a stream is to be read to its end first", {
      cause,
    });
  }
}

export function keepsOnDisconnect({ detach = false, onDisconnect = "end" }: HoldOptions): boolean {
  return detach || onDisconnect === "keep";
}

function isEmpty(limits: Limits): boolean {
  return Object.values(limits).every((value) => value === undefined);
}

function toConfigure(command: Command, options: TaskOptions): ConfigureRequest {
  const { requestId = "" } = options;
  const id = requestId === "" ? randomUUID() : requestId;
  const { name = "task", alloc = options.name ?? `run-${digestOf(id)}` } = options;
  const { network, chrootMethod, supplementaryGroups = [], mounts = [] } = options;
  return toConfigureRequest({
    allocId: alloc,
    taskName: name,
    ...toProgram(command),
    ...defined({
      env: options.env,
      chroot: options.chroot,
      labels: options.labels,
      workDir: options.workDir,
    }),
    user: text(options.user),
    group: text(options.group),
    supplementaryGroups: supplementaryGroups.map(String),
    mounts: mounts.map(({ source, target, readOnly = false }) => ({ source, target, readOnly })),
    network: network === undefined ? undefined : { mode: NETWORK_MODES[network] },
    chrootMethod:
      chrootMethod === undefined ? ChrootMethod.CHROOT_METHOD_UNSPECIFIED : CHROOT_METHODS[chrootMethod],
    timeout: duration(options.timeout, "timeout"),
    cpuTimeLimit: duration(options.cpuTimeLimit, "cpuTimeLimit"),
    allowUnenforced: options.allowUnenforced ?? false,
    requestId: id,
  });
}

/** A name of its own for each, and the same one for the same. */
function digestOf(requestId: string): string {
  return createHash("sha256").update(requestId).digest("hex").slice(0, 32);
}

const NETWORK_MODES = {
  none: NetworkMode.NETWORK_MODE_NONE,
  host: NetworkMode.NETWORK_MODE_HOST,
} as const;

const CHROOT_METHODS = {
  bind: ChrootMethod.CHROOT_METHOD_BIND,
  link: ChrootMethod.CHROOT_METHOD_LINK,
} as const;

function toProgram(command: Command): ConfigureFields {
  if (typeof command === "string") return { commandLine: command };
  const [program, ...args] = command;
  return { command: program, args };
}

function text(value: string | number | undefined): string {
  return value === undefined ? "" : String(value);
}

function duration(span: TimeSpan | undefined, field: string): ConfigureRequest["timeout"] {
  return span === undefined ? undefined : toDuration(parseTimeSpan(span, field));
}

/** Without those that are undefined. */
function defined<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: NonNullable<Fields[Name]> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Name in keyof Fields]?: NonNullable<Fields[Name]> };
}
