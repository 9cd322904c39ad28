/** The files that a request brings along, checked for everything that can be said without looking at the host. */
import { invalidField, missingField } from "../errors.js";
import type { FileSpec } from "../ports.js";
import { ALLOC_DIR, LOCAL_DIR } from "./environment.js";
import { checkPath, isBelow } from "./task-path.js";

/** As in the request; a mode of 0 is what was not given. */
export type InputFile = FileSpec;

/** Where a task's user may write, and what is there stays after it. native/files.c has them too. */
const DIRECTORIES = [LOCAL_DIR, ...["logs", "tmp", "data"].map((name) => `${ALLOC_DIR}/${name}`)];

/** Ours: each is written by some ten system calls before the command may start. */
export const FILES_MAX = 1024;

/** Ours: far deeper than people nest directories. Each one that is missing is made. */
const PARTS_MAX = 64;

const DEFAULT_MODE = 0o644;
const MODE_MAX = 0o777;

/** What the helper names its own in such a directory, for a moment. */
const RESERVED_NAME = /\/\.stockade-[^/]*$/;

/**
 * Checks the files of a request; those without a mode get 0644. Throws a TaskError (FIELD_MISSING, FIELD_INVALID) for
 * the first that cannot be.
 */
export function checkFiles(files: readonly InputFile[], taskName: string): readonly FileSpec[] {
  if (files.length > FILES_MAX) throw invalidField("files", `files has more than ${FILES_MAX} entries`);
  const logs = ["stdout", "stderr"].map((stream) => `${LOCAL_DIR}/${taskName}.${stream}`);
  const checked = files.map(({ path, mode, content }, index) => {
    checkFilePath(`files[${index}].path`, path, logs);
    return Object.freeze({ path, mode: checkMode(`files[${index}].mode`, mode), content });
  });
  refuseConflicts(checked);
  return Object.freeze(checked);
}

function checkFilePath(field: string, path: string, logs: readonly string[]): void {
  if (path === "") throw missingField(field);
  checkPath(field, path);
  if (!DIRECTORIES.some((directory) => isBelow(path, directory))) {
    throw invalidField(field, `${field} does not lie below ${DIRECTORIES.join(", ")}`);
  }
  if (path.split("/").length - 1 > PARTS_MAX) {
    throw invalidField(field, `${field} has more than ${PARTS_MAX} parts`);
  }
  if (logs.includes(path)) throw invalidField(field, `${field} is the path of the task's log`);
  if (RESERVED_NAME.test(path)) throw invalidField(field, `${field} has a name that is the helper's own`);
}

function checkMode(field: string, mode: number): number {
  if (mode === 0) return DEFAULT_MODE;
  if (!Number.isInteger(mode) || mode < 0 || mode > MODE_MAX) {
    throw invalidField(field, `${field} must be 0 to 0777 (${MODE_MAX}): permissions alone`);
  }
  return mode;
}

/** Each path is one file alone, and no file is what another one lies in. */
function refuseConflicts(files: readonly FileSpec[]): void {
  const taken = new Map<string, "file" | "directory">();
  files.forEach(({ path }, index) => {
    const field = `files[${index}].path`;
    const there = taken.get(path);
    if (there !== undefined) {
      const what = there === "file" ? "the path of another file" : "a directory that another file is in";
      throw invalidField(field, `${field} is ${what}`);
    }
    taken.set(path, "file");
    for (const above of directoriesAbove(path)) {
      if (taken.get(above) === "file") throw invalidField(field, `${field} lies in another file`);
      taken.set(above, "directory");
    }
  });
}

function directoriesAbove(path: string): string[] {
  const above: string[] = [];
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    above.push(path.slice(0, end));
  }
  return above;
}
