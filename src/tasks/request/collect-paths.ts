/** Which files of a task a client asks for, checked for everything that can be said before there is any. */
import { invalidField, missingField } from "../errors.js";
import { ALLOC_DIR, LOCAL_DIR } from "./environment.js";
import { checkPath, isBelow } from "./task-path.js";

export interface CollectPath {
  /** In the task, below /local or /alloc. */
  readonly path: string;
  /** As much of the file is collected. */
  readonly maxBytes: bigint;
}

/** Ours: one by one, each is copied by a process of its own. */
export const PATHS_MAX = 1024;

/** Ours: a copy lies beside the task's record, on the daemon's own disk, until it has been sent. 1 GiB. */
export const COLLECT_BYTES_MAX = 2n ** 30n;

/** Throws a TaskError (FIELD_MISSING, FIELD_INVALID) for the first that cannot be. */
export function checkCollect(paths: readonly CollectPath[]): readonly CollectPath[] {
  if (paths.length > PATHS_MAX) throw invalidField("collect", `collect has more than ${PATHS_MAX} entries`);
  return Object.freeze(
    paths.map(({ path, maxBytes }, index) => {
      const field = `collect[${index}]`;
      if (path === "") throw missingField(`${field}.path`);
      checkPath(`${field}.path`, path);
      if (!isBelow(path, LOCAL_DIR) && !isBelow(path, ALLOC_DIR)) {
        throw invalidField(`${field}.path`, `${field}.path does not lie below ${LOCAL_DIR} or ${ALLOC_DIR}`);
      }
      if (maxBytes === 0n) throw missingField(`${field}.max_bytes`);
      if (maxBytes < 0n || maxBytes > COLLECT_BYTES_MAX) {
        throw invalidField(`${field}.max_bytes`, `${field}.max_bytes must be 1 to ${COLLECT_BYTES_MAX}`);
      }
      return Object.freeze({ path, maxBytes });
    }),
  );
}
