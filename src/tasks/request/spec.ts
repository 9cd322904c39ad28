/** A Configure request checked for everything that can be said without looking at the host. */
import { isIP } from "node:net";

import { DEFAULT_CHROOT, type ChrootEntry } from "./default-chroot.js";
import { LOCAL_DIR } from "./environment.js";
import { exclusiveFields, invalidField, missingField, type TaskError } from "../errors.js";
import { checkRequestId } from "../idempotency/request-id.js";
import { ARG_OVERHEAD_BYTES, ARGUMENTS_BYTES_MAX, COMMAND_LINE_BYTES_MAX } from "./exec-limits.js";
import { checkLabels, type Labels } from "./labels.js";
import { parseNumericId } from "./numeric-id.js";
import type { UserRequest } from "../ports-users.js";
import type { DurationInput } from "./duration.js";
import { parseTimeLimit, type TimeLimits } from "./time-limits.js";
import { checkPath, checkTarget, PATH_BYTES_MAX } from "./task-path.js";
import { plainWord, splitLine } from "./words.js";

export type ChrootMethodName = "bind" | "link";
export type NetworkModeName = "none" | "host";

/** As in the request. */
export interface MountInput {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** A Configure request as it arrives: empty strings and collections are what was not given. */
export interface ConfigureInput {
  readonly allocId: string;
  readonly taskName: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly commandLine: string;
  readonly env: ReadonlyMap<string, string>;
  readonly user: string;
  readonly group: string;
  readonly supplementaryGroups: readonly string[];
  readonly workDir: string;
  readonly chroot: ReadonlyMap<string, string>;
  readonly chrootMethod: ChrootMethodName;
  readonly mounts: readonly MountInput[];
  readonly network: NetworkModeName;
  readonly ip: string;
  readonly ports: ReadonlyMap<string, number>;
  readonly meta: ReadonlyMap<string, string>;
  readonly allowUnenforced: boolean;
  readonly timeout: DurationInput | undefined;
  readonly cpuTimeLimit: DurationInput | undefined;
  readonly labels: Labels;
  readonly requestId: string;
}

/** What is to be executed, before anything is replaced. */
export type CommandInput =
  | { readonly kind: "program"; readonly program: string; readonly args: readonly string[] }
  /** Of words for `replaceWord`; at least one. */
  | { readonly kind: "line"; readonly words: readonly string[] };

export interface TaskSpec extends UserRequest, TimeLimits {
  readonly allocId: string;
  readonly taskName: string;
  readonly command: CommandInput;
  readonly env: ReadonlyMap<string, string>;
  readonly workDir: string;
  readonly chroot: readonly ChrootEntry[];
  readonly chrootMethod: ChrootMethodName;
  readonly mounts: readonly MountInput[];
  readonly network: NetworkModeName;
  readonly ip: string | undefined;
  readonly ports: ReadonlyMap<string, number>;
  readonly meta: ReadonlyMap<string, string>;
  readonly allowUnenforced: boolean;
  readonly labels: Labels;
  readonly requestId: string | undefined;
}

/** Names directories, so no separator, and neither "." nor ".." can be one. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** The shared directory's name in the alloc directory, beside those of the tasks. */
export const SHARED_DIR_NAME = "alloc";

/**
 * Most arguments, and most entries of each of env, ports and meta. Ours: each is handled one by one, and so many hold the
 * event loop for some milliseconds; an entry takes four times as long as an argument.
 */
export const ARGS_MAX = 32_768;
export const ENTRIES_MAX = 8_192;

/** Ours, as those; the kernel's is NGROUPS_MAX, 65536. */
export const GROUPS_MAX = 8_192;

/** Ours, of chroot and mounts together: each is a mount of the kernel's, of which fs.mount-max allows 100000. */
export const MOUNTS_MAX = 1024;

/** Becomes part of an environment variable's name. As long as a task's. */
const LABEL = /^[A-Za-z0-9_.-]{1,128}$/;

/** Ours: far more than programs look for. */
const ENV_NAME_BYTES_MAX = 1024;

const PORT_MAX = 65_535;

/**
 * Checks a request. Throws a TaskError (FIELD_MISSING, FIELD_INVALID, FIELDS_EXCLUSIVE) for the
 * first field that cannot be.
 *
 * How long one argument and the environment may be is the kernel's word, and Start's answer.
 */
export function checkConfigure(input: ConfigureInput): TaskSpec {
  checkName("alloc_id", input.allocId);
  checkName("task_name", input.taskName);
  if (input.taskName === SHARED_DIR_NAME) {
    throw invalidField("task_name", `task_name cannot be '${SHARED_DIR_NAME}'`);
  }
  const spec: TaskSpec = {
    allocId: input.allocId,
    taskName: input.taskName,
    command: checkCommand(input),
    env: checkEnv(input.env),
    ...checkUsers(input),
    workDir: checkWorkDir(input.workDir),
    ...checkMounts(input),
    chrootMethod: oneOf("chroot_method", input.chrootMethod, ["bind", "link"]),
    network: oneOf("network.mode", input.network, ["none", "host"]),
    ip: checkIp(input.ip),
    ports: checkPorts(input.ports),
    meta: checkMeta(input.meta),
    allowUnenforced: input.allowUnenforced,
    timeoutNs: parseTimeLimit("timeout", input.timeout),
    cpuTimeNs: parseTimeLimit("cpu_time_limit", input.cpuTimeLimit),
    labels: checkLabels(input.labels),
    requestId: checkRequestId(input.requestId),
  };
  return Object.freeze(spec);
}

function checkName(field: string, value: string): void {
  if (value === "") throw missingField(field);
  if (!NAME.test(value)) throw invalidField(field, `${field} must match [A-Za-z0-9][A-Za-z0-9._-]{0,127}`);
}

function checkCommand({ command, args, commandLine }: ConfigureInput): CommandInput {
  if (commandLine === "") {
    if (command === "") throw missingField("command");
    refuseNul("command", command);
    refuseLonger("command", command, PATH_BYTES_MAX);
    checkArgs(args);
    return Object.freeze({ kind: "program", program: command, args: Object.freeze([...args]) });
  }
  if (command !== "") throw exclusiveFields("command_line", "command");
  if (args.length > 0) throw exclusiveFields("args", "command_line");
  refuseNul("command_line", commandLine);
  refuseLonger("command_line", commandLine, COMMAND_LINE_BYTES_MAX);
  const words = Object.freeze(splitLine(commandLine));
  const [program] = words;
  if (program === undefined) throw invalidField("command_line", "command_line has no word");
  if (plainWord(program) === "") throw invalidField("command_line", "command_line has an empty first word");
  return Object.freeze({ kind: "line", words });
}

function checkArgs(args: readonly string[]): void {
  refuseMore("args", args.length, ARGS_MAX);
  const bad = args.findIndex(hasNul);
  if (bad !== -1) throw nulIn(`args[${bad}]`);
  const bytes = args.reduce((sum, arg) => sum + Buffer.byteLength(arg) + ARG_OVERHEAD_BYTES, 0);
  if (bytes > ARGUMENTS_BYTES_MAX) {
    throw invalidField(
      "args",
      `args are more than ${ARGUMENTS_BYTES_MAX} bytes, each counted with ${ARG_OVERHEAD_BYTES} more`,
    );
  }
}

function checkEnv(env: ConfigureInput["env"]): ReadonlyMap<string, string> {
  refuseMore("env", env.size, ENTRIES_MAX);
  for (const [name, value] of env) {
    if (name === "") throw invalidField("env", "env has an empty name");
    if (name.includes("=")) throw invalidField("env", "env has a name with '=' in it");
    refuseNul("env", name);
    if (Buffer.byteLength(name) > ENV_NAME_BYTES_MAX) {
      throw invalidField("env", `env has a name of more than ${ENV_NAME_BYTES_MAX} bytes`);
    }
    refuseNul("env", value);
  }
  return env;
}

function checkUsers({ user, group, supplementaryGroups }: ConfigureInput): UserRequest {
  checkUserOrGroup("user", user);
  checkUserOrGroup("group", group);
  if (supplementaryGroups.length > GROUPS_MAX) {
    throw invalidField("supplementary_groups", `supplementary_groups are more than ${GROUPS_MAX}`);
  }
  // What names a field is made for one that is refused: for each it would take as long as to look at it.
  const bad = supplementaryGroups.findIndex((value) => value === "" || !canBeUserOrGroup(value));
  if (bad !== -1) {
    const field = `supplementary_groups[${bad}]`;
    checkUserOrGroup(field, supplementaryGroups[bad] ?? "");
    throw invalidField(field, `${field} is empty`);
  }
  return { user, group, supplementaryGroups: Object.freeze([...supplementaryGroups]) };
}

function canBeUserOrGroup(value: string): boolean {
  return !hasNul(value) && !Number.isNaN(parseNumericId(value));
}

function checkUserOrGroup(field: string, value: string): void {
  refuseNul(field, value);
  if (Number.isNaN(parseNumericId(value))) {
    throw invalidField(field, `${field} is a number of more than 32 bits`);
  }
}

function checkWorkDir(workDir: string): string {
  if (workDir === "") return LOCAL_DIR;
  checkPath("work_dir", workDir);
  return workDir;
}

/** Each path inside the task is one thing alone: two sources for it would hide each other. */
function checkMounts(input: ConfigureInput): Pick<TaskSpec, "chroot" | "mounts"> {
  if (input.chroot.size > MOUNTS_MAX)
    throw invalidField("chroot", `chroot has more than ${MOUNTS_MAX} entries`);
  if (input.chroot.size + input.mounts.length > MOUNTS_MAX) {
    throw invalidField("mounts", `mounts and the entries of chroot are more than ${MOUNTS_MAX}`);
  }
  const given = [...input.chroot];
  const taken = new Set<string>();
  const take = (field: string, target: string): void => {
    checkTarget(field, target);
    if (taken.has(target)) throw invalidField(field, `${field} is a path that something else is mounted on`);
    taken.add(target);
  };
  for (const [source, target] of given) {
    checkPath("chroot", source);
    take("chroot", target);
  }
  const chroot =
    given.length === 0 ? DEFAULT_CHROOT : given.map(([source, target]) => Object.freeze({ source, target }));
  for (const { target } of chroot) taken.add(target);
  const mounts = input.mounts.map(({ source, target, readOnly }, index) => {
    checkPath(`mounts[${index}].source`, source);
    take(`mounts[${index}].target`, target);
    return Object.freeze({ source, target, readOnly });
  });
  return { chroot: Object.freeze(chroot), mounts: Object.freeze(mounts) };
}

/** The types say it already; what comes over the wire may say otherwise. */
function oneOf<T extends string>(field: string, value: T, values: readonly T[]): T {
  if (!values.includes(value)) throw invalidField(field, `${field} has an unknown value`);
  return value;
}

function checkIp(ip: string): string | undefined {
  if (ip === "") return undefined;
  if (isIP(ip) === 0) throw invalidField("ip", "ip is no IPv4 or IPv6 address");
  return ip;
}

function checkPorts(ports: ConfigureInput["ports"]): ReadonlyMap<string, number> {
  refuseMore("ports", ports.size, ENTRIES_MAX);
  for (const [label, port] of ports) {
    if (!LABEL.test(label))
      throw invalidField("ports", "ports has a label that does not match [A-Za-z0-9_.-]{1,128}");
    if (!Number.isInteger(port) || port < 1 || port > PORT_MAX) {
      throw invalidField("ports", `ports must be 1 to ${PORT_MAX}, and '${label}' is ${port}`);
    }
  }
  return ports;
}

function checkMeta(meta: ConfigureInput["meta"]): ReadonlyMap<string, string> {
  refuseMore("meta", meta.size, ENTRIES_MAX);
  const upperCased = new Set<string>();
  for (const [key, value] of meta) {
    if (!LABEL.test(key))
      throw invalidField("meta", "meta has a key that does not match [A-Za-z0-9_.-]{1,128}");
    refuseNul("meta", value);
    const upper = key.toUpperCase();
    if (upperCased.has(upper)) {
      throw invalidField("meta", `meta has two keys that become NOMAD_META_${upper}`);
    }
    upperCased.add(upper);
  }
  return meta;
}

function hasNul(value: string): boolean {
  return value.includes("\0");
}

function nulIn(field: string): TaskError {
  return invalidField(field, `${field} holds a NUL byte`);
}

function refuseNul(field: string, value: string): void {
  if (hasNul(value)) throw nulIn(field);
}

function refuseMore(field: string, count: number, most: number): void {
  if (count > most) throw invalidField(field, `${field} has more than ${most} entries`);
}

function refuseLonger(field: string, value: string, bytesMax: number): void {
  if (Buffer.byteLength(value) > bytesMax) {
    throw invalidField(field, `${field} has more than ${bytesMax} bytes`);
  }
}
