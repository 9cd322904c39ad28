/**
 * What of a request may be there how often, and what is in it: so much is known of its bytes before anything is made of
 * them. The numbers are those of proto/executor/v1/executor.proto.
 */
import { PATHS_MAX } from "../tasks/request/collect-paths.js";
import { FILES_MAX } from "../tasks/request/input-files.js";
import { LABELS_MAX } from "../tasks/request/labels.js";
import { ARGS_MAX, ENTRIES_MAX, GROUPS_MAX, MOUNTS_MAX } from "../tasks/request/spec.js";
import { STATES_MAX } from "../tasks/listing/list-query.js";
import { STREAMS_MAX } from "./convert-logs.js";

/** The fields of a message, by their number. */
export type Shape = Readonly<Record<number, Part>>;

export interface Part {
  readonly name: string;
  /** "number": a varint; no request has others. "numbers": several, each in a field of its own, or all in one. */
  readonly of: Shape | "text" | "bytes" | "number" | "numbers";
  /** How often it may be there; absent: it is neither repeated nor a message, and the last one counts. */
  readonly most?: number;
  /** A map: its entries have no names. */
  readonly isMap?: true;
}

const text = (name: string): Part => ({ name, of: "text" });
const bytes = (name: string): Part => ({ name, of: "bytes" });
const number = (name: string): Part => ({ name, of: "number" });
const one = (name: string, of: Shape): Part => ({ name, of, most: 1 });
const many = (name: string, most: number, of: Part["of"] = "text"): Part => ({ name, of, most });
const map = (name: string, most: number, value = text("value")): Part => ({
  ...many(name, most, { 1: text("key"), 2: value }),
  isMap: true,
});

const DURATION: Shape = { 1: number("seconds"), 2: number("nanos") };

const MOUNT: Shape = { 1: text("source"), 2: text("target"), 3: number("read_only") };

const RESOURCES: Shape = {
  1: number("memory_bytes"),
  2: number("memory_reservation_bytes"),
  3: number("cpu_shares"),
  4: number("cpu_millis"),
  5: text("cpuset_cpus"),
  6: number("io_weight"),
  7: number("pids_max"),
};

const CONFIGURE: Shape = {
  1: text("alloc_id"),
  2: text("task_name"),
  3: text("command"),
  4: many("args", ARGS_MAX),
  5: text("command_line"),
  6: map("env", ENTRIES_MAX),
  7: text("user"),
  8: text("group"),
  9: many("supplementary_groups", GROUPS_MAX),
  10: text("work_dir"),
  11: map("chroot", MOUNTS_MAX),
  12: number("chroot_method"),
  13: many("mounts", MOUNTS_MAX, MOUNT),
  14: one("network", { 1: number("mode") }),
  15: text("ip"),
  16: map("ports", ENTRIES_MAX, number("value")),
  17: map("meta", ENTRIES_MAX),
  18: number("allow_unenforced"),
  19: one("timeout", DURATION),
  20: one("cpu_time_limit", DURATION),
  21: map("labels", LABELS_MAX),
  22: text("request_id"),
};

const OF_TASK: Shape = { 1: text("id") };

/** By the name of the message. */
export const SHAPES = {
  ConfigureRequest: CONFIGURE,
  LimitRequest: { ...OF_TASK, 2: one("resources", RESOURCES), 3: number("allow_unenforced") },
  StartRequest: OF_TASK,
  WaitRequest: OF_TASK,
  ShutdownRequest: { ...OF_TASK, 2: text("signal"), 3: one("grace_period", DURATION) },
  ForceStopRequest: OF_TASK,
  GetRequest: OF_TASK,
  ListRequest: {
    1: many("states", STATES_MAX, "numbers"),
    2: map("labels", LABELS_MAX),
    3: text("alloc_id"),
    4: number("page_size"),
    5: text("page_token"),
  },
  DeleteRequest: OF_TASK,
  GetServerInfoRequest: {},
  OpenRequest: { ...OF_TASK, 2: number("mode") },
  LogsRequest: {
    ...OF_TASK,
    2: many("streams", STREAMS_MAX, "numbers"),
    3: one("offsets", { 1: number("stdout"), 2: number("stderr") }),
    4: number("end"),
    5: number("last_lines"),
    6: number("follow"),
    7: one("heartbeat_interval", DURATION),
  },
  RunRequest: {
    1: one("configure", CONFIGURE),
    2: one("resources", RESOURCES),
    3: bytes("stdin"),
    4: many("files", FILES_MAX, { 1: text("path"), 2: bytes("content"), 3: number("mode") }),
    5: many("collect", PATHS_MAX, { 1: text("path"), 2: number("max_bytes") }),
    6: number("output_max_bytes"),
    7: number("detach_on_disconnect"),
    8: one("heartbeat_interval", DURATION),
  },
} as const satisfies Readonly<Record<string, Shape>>;
