import { invalidField } from "../errors.js";

/** Most bytes of a path, without its NUL. Source: path_resolution(7), PATH_MAX. */
export const PATH_BYTES_MAX = 4095;

/** Most bytes of a path's component. Source: path_resolution(7), NAME_MAX. */
const NAME_BYTES_MAX = 255;

/** What the task's root holds of its own. Nothing is mounted on or below it by a request. */
const RESERVED = ["/proc", "/dev", "/tmp", "/alloc", "/local"];

/** Throws INVALID_ARGUMENT unless the path is absolute and in its shortest form: no "//", ".", ".." or last "/". */
export function checkPath(field: string, path: string): void {
  if (path.includes("\0")) throw invalidField(field, `${field} holds a NUL byte`);
  if (!path.startsWith("/")) throw invalidField(field, `${field} is not an absolute path`);
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    throw invalidField(field, `${field} holds a path of more than ${PATH_BYTES_MAX} bytes`);
  }
  if (path === "/") return;
  const parts = path.slice(1).split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    throw invalidField(field, `${field} holds a path with an empty part, "." or ".."`);
  }
  if (parts.some((part) => Buffer.byteLength(part) > NAME_BYTES_MAX)) {
    throw invalidField(field, `${field} holds a path with a name of more than ${NAME_BYTES_MAX} bytes`);
  }
}

/** As checkPath, and refuses the root and what is reserved. */
export function checkTarget(field: string, path: string): void {
  checkPath(field, path);
  if (path === "/") throw invalidField(field, `${field} cannot be the task's root`);
  const reserved = reservedAbove(path);
  if (reserved !== undefined)
    throw invalidField(field, `${field} lies in ${reserved}, which is the task's own`);
}

/** The reserved directory that is, or holds, the path. */
export function reservedAbove(path: string): string | undefined {
  return RESERVED.find((reserved) => isWithin(path, reserved));
}

/** Whether it lies below the directory, and is not it. */
export function isBelow(path: string, directory: string): boolean {
  return path !== directory && isWithin(path, directory);
}

/** Whether `path` is `directory` or lies below it, by whole components. Both absolute, in shortest form. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}
