/**
 * A task's record as text: one line, then one JSON document.
 *
 *     stockade-record 1.3 sha256:<hex of all that follows this line>
 *     { … }
 *
 * Numbers of 64 bits are strings of decimal digits, undefined is null; a limit or a usage that is absent is left out.
 *
 * A reader takes every minor version of the major ones that it knows. What a minor version may do is add fields: readers
 * of former ones leave them out, and its own reader gives a field that a former one had not a default, which its line in
 * `readDocument` says. All else, a new word for `cause` or `reason` too, is a new major version, which a former reader
 * leaves to its own daemon, with the task: each record is written in the lowest version that says all of it.
 */
import { createHash } from "node:crypto";

import type { Owner } from "../tasks/access/identity.js";
import type { EndCause, Exit, ExitReasonName, ExitStatus, Usage } from "../tasks/exit.js";
import { REQUEST_ID, type AnsweredRequest } from "../tasks/idempotency/request-id.js";
import type { LimitAnswer, Limits } from "../tasks/limits.js";
import type { FoundDirectories, SandboxProcesses, TaskRecord } from "../tasks/ports.js";
import { LABEL_KEY, LABEL_VALUE } from "../tasks/request/labels.js";
import { cgroupTaskId, pidTaskId } from "../tasks/task-id.js";
import type { Unenforced } from "../tasks/unenforced.js";
import { FieldError, Fields } from "./fields.js";

const MAJOR_MIN = 1;
const MAJOR_MAX = 2;

/** Of 2 the alloc has the owner's name in front, in which a reader of 1 would see a damaged record. */
function versionOf({ owner }: TaskRecord): string {
  return owner === undefined ? "1.3" : "2.1";
}

/** What the bytes of a record file are. `why`: for people; it holds nothing of the content. */
export type Decoded =
  | { readonly kind: "record"; readonly record: TaskRecord }
  /** A newer daemon's: `version` is "2.0". */
  | { readonly kind: "newer"; readonly version: string }
  | { readonly kind: "unreadable"; readonly why: string };

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const HEADER_MAX = 128;
const HEADER = /^stockade-record (0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(?: (.*))?$/;
const CHECKSUM = /^sha256:[0-9a-f]{64}$/;

export function encodeRecord(record: TaskRecord): Buffer {
  const body = `${JSON.stringify(documentOf(record), null, 2)}\n`;
  return Buffer.from(`stockade-record ${versionOf(record)} ${checksumOf(body)}\n${body}`);
}

/** Never throws. `uuid`: whose record it has to be. */
export function decodeRecord(bytes: Buffer, uuid: string): Decoded {
  if (bytes.length === 0) return { kind: "unreadable", why: "it is empty" };
  const end = bytes.subarray(0, HEADER_MAX).indexOf("\n");
  const [, major, minor, checksum] = HEADER.exec(bytes.toString("latin1", 0, Math.max(end, 0))) ?? [];
  if (major === undefined || minor === undefined) {
    return { kind: "unreadable", why: "it does not begin as a record does" };
  }
  if (Number(major) > MAJOR_MAX) return { kind: "newer", version: `${major}.${minor}` };
  if (Number(major) < MAJOR_MIN) return { kind: "unreadable", why: "no daemon has written its version" };
  const body = bytes.subarray(end + 1);
  if (checksum === undefined || !CHECKSUM.test(checksum) || checksum !== checksumOf(body)) {
    return { kind: "unreadable", why: "its checksum is wrong: it was cut off, or changed" };
  }
  return parse(body.toString("utf8"), uuid);
}

function checksumOf(body: string | Buffer): string {
  return `sha256:${createHash("sha256").update(body).digest("hex")}`;
}

function parse(body: string, uuid: string): Decoded {
  let document: unknown;
  try {
    document = JSON.parse(body);
  } catch {
    // What JSON.parse says holds some of the content.
    return { kind: "unreadable", why: "it is no JSON document" };
  }
  try {
    return { kind: "record", record: readDocument(Fields.of(document, "the document"), uuid) };
  } catch (error) {
    if (error instanceof FieldError) return { kind: "unreadable", why: error.message };
    throw error;
  }
}

/** As in config/access-settings.ts. */
const IDENTITY = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** As tasks/access/alloc-name.ts makes them of what tasks/request/spec.ts lets pass. */
const ALLOC_ID = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63}@)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** The shared directory has the place that a task "alloc" would have. */
const TASK_NAME = /^(?!alloc$)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** Path components that are neither empty nor "." nor "..". */
const CGROUP = /^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/;
/** A uuid on every kernel that is known. Compared, and nothing else. */
const BOOT_ID = /^[A-Za-z0-9-]{1,64}$/;
const CPUS = /^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$/;
const DIGEST = /^[0-9a-f]{64}$/;
const TEXT = /^[^\0]*$/;
const ANY = /^/;

/** PID_MAX_LIMIT of include/linux/threads.h. */
const PID_MAX = 4_194_304;

const CAUSES = [
  "force_stop",
  "shutdown_grace",
  "timeout",
  "cpu_time",
  "never_started",
] as const satisfies readonly EndCause[];

const REASONS = [
  "EXITED",
  "SIGNALED",
  "OOM_KILLED",
  "FORCE_STOPPED",
  "TIMED_OUT",
  "CPU_TIME_EXCEEDED",
  "NEVER_STARTED",
  "LOST",
] as const satisfies readonly ExitReasonName[];

const LIMITS = [
  "memoryBytes",
  "memoryReservationBytes",
  "cpuShares",
  "cpuMillis",
  "ioWeight",
  "pidsMax",
] as const satisfies readonly (keyof Limits)[];

const USAGES = [
  "cpuUserUs",
  "cpuSystemUs",
  "memoryPeakBytes",
  "pidsPeak",
  "ioReadBytes",
  "ioWriteBytes",
] as const satisfies readonly (keyof Usage)[];

type Document<T> = { readonly [K in keyof Required<T>]: unknown };

function documentOf(record: TaskRecord): Document<TaskRecord> {
  const { id, uuid, allocId, taskName, chrootMethod, bootId, found, killSent } = record;
  return {
    id,
    uuid,
    allocId,
    taskName,
    labels: Object.fromEntries(record.labels),
    request: record.request === undefined ? null : requestDocument(record.request),
    owner: record.owner === undefined ? null : ownerDocument(record.owner),
    chrootMethod,
    cgroup: record.cgroup ?? null,
    configuredNs: decimal(record.configuredNs),
    bootId,
    processes: record.processes === undefined ? null : processesDocument(record.processes),
    found: { alloc: found.alloc, task: found.task } satisfies Document<FoundDirectories>,
    limits: limitsDocument(record.limits),
    cause: record.cause ?? null,
    killSent,
    graceEndsNs: decimal(record.graceEndsNs),
    exit: record.exit === undefined ? null : exitDocument(record.exit),
  };
}

function requestDocument({ id, digest, unenforced, limited }: AnsweredRequest): Document<AnsweredRequest> {
  return {
    id,
    digest,
    unenforced: unenforcedDocument(unenforced),
    limited: limited === undefined ? null : limitedDocument(limited),
  };
}

function limitedDocument({ effective, unenforced }: LimitAnswer): Document<LimitAnswer> {
  return { effective: limitsDocument(effective), unenforced: unenforcedDocument(unenforced) };
}

function unenforcedDocument(unenforced: readonly Unenforced[]): Document<Unenforced>[] {
  return unenforced.map(({ name, reason }) => ({ name, reason }));
}

function ownerDocument({ name, group }: Owner): Document<Owner> {
  return { name, group: group ?? null };
}

function processesDocument(processes: SandboxProcesses): Document<SandboxProcesses> {
  const { initPid, initStartTicks, commandPid, commandStartTicks } = processes;
  return {
    initPid,
    initStartTicks: decimal(initStartTicks),
    commandPid,
    commandStartTicks: decimal(commandStartTicks),
  };
}

function limitsDocument(limits: Limits): Document<Limits> {
  return {
    memoryBytes: decimalOrAbsent(limits.memoryBytes),
    memoryReservationBytes: decimalOrAbsent(limits.memoryReservationBytes),
    cpuShares: decimalOrAbsent(limits.cpuShares),
    cpuMillis: decimalOrAbsent(limits.cpuMillis),
    cpusetCpus: limits.cpusetCpus,
    ioWeight: decimalOrAbsent(limits.ioWeight),
    pidsMax: decimalOrAbsent(limits.pidsMax),
  };
}

function exitDocument(exit: Exit): Document<Exit> {
  const { status, reason, oomKilled, coreDumped, usage } = exit;
  return {
    status,
    reason,
    oomKilled,
    coreDumped,
    startedNs: decimal(exit.startedNs),
    exitedNs: decimal(exit.exitedNs),
    usage: {
      cpuUserUs: decimalOrAbsent(usage.cpuUserUs),
      cpuSystemUs: decimalOrAbsent(usage.cpuSystemUs),
      memoryPeakBytes: decimalOrAbsent(usage.memoryPeakBytes),
      pidsPeak: decimalOrAbsent(usage.pidsPeak),
      ioReadBytes: decimalOrAbsent(usage.ioReadBytes),
      ioWriteBytes: decimalOrAbsent(usage.ioWriteBytes),
    } satisfies Document<Usage>,
    stdoutDroppedBytes: decimal(exit.stdoutDroppedBytes),
    stderrDroppedBytes: decimal(exit.stderrDroppedBytes),
    outputTruncated: exit.outputTruncated,
  };
}

function decimal(value: bigint | undefined): string | null {
  return value === undefined ? null : value.toString();
}

/** JSON.stringify leaves out what is undefined. */
function decimalOrAbsent(value: bigint | undefined): string | undefined {
  return value?.toString();
}

function readDocument(fields: Fields, uuid: string): TaskRecord {
  const record: TaskRecord = {
    id: fields.text("id", ANY),
    uuid: fields.text("uuid", UUID),
    allocId: fields.text("allocId", ALLOC_ID),
    taskName: fields.text("taskName", TASK_NAME),
    // Since 1.1.
    labels: fields.has("labels") ? fields.texts("labels", LABEL_KEY, LABEL_VALUE) : new Map(),
    request: fields.has("request") ? fields.orNull("request", readRequest) : undefined,
    // Since 2.0; before that there was one caller, who had no name.
    owner: fields.has("owner") ? fields.orNull("owner", readOwner) : undefined,
    chrootMethod: fields.oneOf("chrootMethod", ["bind", "link"]),
    cgroup: fields.orNull("cgroup", (of, name) => of.text(name, CGROUP)),
    configuredNs: fields.u64("configuredNs"),
    bootId: fields.text("bootId", BOOT_ID),
    processes: fields.orNull("processes", readProcesses),
    found: readFound(fields.object("found")),
    limits: readLimits(fields.object("limits")),
    cause: fields.orNull("cause", (of, name) => of.oneOf(name, CAUSES)),
    killSent: fields.flag("killSent"),
    graceEndsNs: fields.orNull("graceEndsNs", (of, name) => of.u64(name)),
    exit: fields.orNull("exit", readExit),
  };
  if (record.uuid !== uuid) throw fields.wrong("uuid", "is not the directory's name");
  if (record.cgroup?.endsWith(`/${uuid}`) === false) throw fields.wrong("cgroup", "is not the task's");
  if (record.id !== idOf(record)) throw fields.wrong("id", "does not name the task");
  return record;
}

/** Empty until the processes are known, which is when it is made. */
function idOf({ cgroup, processes, uuid }: TaskRecord): string {
  if (processes === undefined) return "";
  return cgroup === undefined ? pidTaskId(processes.initPid, uuid) : cgroupTaskId(cgroup);
}

function readRequest(parent: Fields, name: string): AnsweredRequest {
  const fields = parent.object(name);
  return {
    id: fields.text("id", REQUEST_ID),
    digest: fields.text("digest", DIGEST),
    unenforced: readUnenforced(fields),
    // Since 1.3 and 2.1; whatever an earlier daemon's Run was answered of limits is not on record.
    limited: fields.has("limited") ? fields.orNull("limited", readLimited) : undefined,
  };
}

function readLimited(parent: Fields, name: string): LimitAnswer {
  const fields = parent.object(name);
  return { effective: readLimits(fields.object("effective")), unenforced: readUnenforced(fields) };
}

function readUnenforced(fields: Fields): readonly Unenforced[] {
  return fields.list("unenforced", (item) => ({
    name: item.text("name", TEXT),
    reason: item.text("reason", TEXT),
  }));
}

function readOwner(parent: Fields, name: string): Owner {
  const fields = parent.object(name);
  return {
    name: fields.text("name", IDENTITY),
    group: fields.orNull("group", (of, field) => of.text(field, IDENTITY)),
  };
}

function readProcesses(parent: Fields, name: string): SandboxProcesses {
  const fields = parent.object(name);
  return {
    // Pid 1 is never an init of ours.
    initPid: fields.whole("initPid", 2, PID_MAX),
    initStartTicks: fields.u64("initStartTicks"),
    commandPid: fields.whole("commandPid", 2, PID_MAX),
    commandStartTicks: fields.u64("commandStartTicks"),
  };
}

function readFound(fields: Fields): FoundDirectories {
  return { alloc: fields.flag("alloc"), task: fields.flag("task") };
}

function readLimits(fields: Fields): Limits {
  const cpusetCpus = fields.has("cpusetCpus") ? { cpusetCpus: fields.text("cpusetCpus", CPUS) } : {};
  return { ...numbersOf(fields, LIMITS), ...cpusetCpus };
}

/** Those of the names that are there. */
function numbersOf<T extends string>(fields: Fields, names: readonly T[]): Partial<Record<T, bigint>> {
  const numbers: Partial<Record<T, bigint>> = {};
  for (const name of names) if (fields.has(name)) numbers[name] = fields.u64(name);
  return numbers;
}

function readExit(parent: Fields, name: string): Exit {
  const fields = parent.object(name);
  return {
    status: readStatus(fields.object("status")),
    reason: fields.oneOf("reason", REASONS),
    oomKilled: fields.flag("oomKilled"),
    coreDumped: fields.flag("coreDumped"),
    startedNs: fields.orNull("startedNs", (of, field) => of.u64(field)),
    exitedNs: fields.u64("exitedNs"),
    usage: numbersOf(fields.object("usage"), USAGES),
    stdoutDroppedBytes: fields.u64("stdoutDroppedBytes"),
    stderrDroppedBytes: fields.u64("stderrDroppedBytes"),
    // Since 1.2.
    outputTruncated: fields.has("outputTruncated") && fields.flag("outputTruncated"),
  };
}

/** As wait4 gives them: 8 bits of an exit code, 7 of a signal. */
function readStatus(fields: Fields): ExitStatus {
  const kind = fields.oneOf("kind", ["exitCode", "signal", "unknown"]);
  switch (kind) {
    case "exitCode":
      return { kind, code: fields.whole("code", 0, 255) };
    case "signal":
      return { kind, signal: fields.whole("signal", 1, 127) };
    case "unknown":
      return { kind };
  }
}
