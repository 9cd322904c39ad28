/**
 * What of a request may be there how often, and what is in it: so much is known of its bytes before anything is made of
 * them. The numbers are those of proto/executor/v1/executor.proto.
 */
import { PATHS_MAX } from "../tasks/request/collect-paths.js";
import { FILES_MAX } from "../tasks/request/input-files.js";
import { LABELS_MAX } from "../tasks/request/labels.js";
import { GROUPS_MAX, ITEMS_MAX, MOUNTS_MAX } from "../tasks/request/spec.js";
import { STATES_MAX } from "../tasks/listing/list-query.js";
import { STREAMS_MAX } from "./convert-logs.js";

/** Fields of a message that are repeated, or messages themselves, by their number. */
export type Shape = Readonly<Record<number, Part>>;

export interface Part {
  readonly name: string;
  readonly most: number;
  /** "text": strings, or bytes; "packed": numbers, which may be several in one field. */
  readonly of: Shape | "text" | "packed";
}

/** Of a message that has nothing but numbers, strings and bytes; an entry of a map is one. */
const PLAIN: Shape = {};

const one = (name: string, of: Shape): Part => ({ name, most: 1, of });
const many = (name: string, most: number, of: Part["of"] = PLAIN): Part => ({ name, most, of });

const CONFIGURE: Shape = {
  4: many("args", ITEMS_MAX, "text"),
  6: many("env", ITEMS_MAX),
  9: many("supplementary_groups", GROUPS_MAX, "text"),
  11: many("chroot", MOUNTS_MAX),
  13: many("mounts", MOUNTS_MAX),
  14: one("network", PLAIN),
  16: many("ports", ITEMS_MAX),
  17: many("meta", ITEMS_MAX),
  19: one("timeout", PLAIN),
  20: one("cpu_time_limit", PLAIN),
  21: many("labels", LABELS_MAX),
};

/** By the name of the message. */
export const SHAPES = {
  ConfigureRequest: CONFIGURE,
  LimitRequest: { 2: one("resources", PLAIN) },
  StartRequest: PLAIN,
  WaitRequest: PLAIN,
  ShutdownRequest: { 3: one("grace_period", PLAIN) },
  ForceStopRequest: PLAIN,
  GetRequest: PLAIN,
  ListRequest: { 1: many("states", STATES_MAX, "packed"), 2: many("labels", LABELS_MAX) },
  DeleteRequest: PLAIN,
  GetServerInfoRequest: PLAIN,
  OpenRequest: PLAIN,
  LogsRequest: {
    2: many("streams", STREAMS_MAX, "packed"),
    3: one("offsets", PLAIN),
    7: one("heartbeat_interval", PLAIN),
  },
  RunRequest: {
    1: one("configure", CONFIGURE),
    2: one("resources", PLAIN),
    4: many("files", FILES_MAX),
    5: many("collect", PATHS_MAX),
    8: one("heartbeat_interval", PLAIN),
  },
} as const satisfies Readonly<Record<string, Shape>>;
