import { TaskError } from "./errors.js";

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

/** Path components that are neither empty nor "." nor "..", the last a UUID. */
const CGROUP_ID = new RegExp(`^CGROUP:(/(?!\\.{1,2}(/|$))[^/\\0]+)+$`);
/** In characters; a path is none longer. Source: PATH_MAX, with what stands before it. */
const ID_LENGTH_MAX = 4096;
const PID_ID = new RegExp(`^PID:[1-9][0-9]{0,9}:${UUID}$`);

export function cgroupTaskId(cgroupPath: string): string {
  return `CGROUP:${cgroupPath}`;
}

export function pidTaskId(initPid: number, uuid: string): string {
  return `PID:${initPid}:${uuid}`;
}

/** Throws INVALID_ARGUMENT for a string that no task could have as its id. */
export function parseTaskId(id: string): void {
  if (id === "") {
    throw new TaskError({ reason: "FIELD_MISSING", field: "id", message: "id is required" });
  }
  if (id.length <= ID_LENGTH_MAX && (CGROUP_ID.test(id) || PID_ID.test(id))) return;
  throw new TaskError({
    reason: "FIELD_INVALID",
    field: "id",
    message: "id is neither CGROUP:<path> nor PID:<pid>:<uuid>",
  });
}
