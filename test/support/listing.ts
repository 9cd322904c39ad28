import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** All that is at a path and below it, a line each, with everything of it that a change would change but its content. */
export function listing(path: string): string[] {
  const { mode, uid, gid, nlink, size, ino, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  const link = (mode & 0o170000n) === 0o120000n ? ` -> ${readlinkSync(path)}` : "";
  const line = [mode.toString(8), uid, gid, nlink, size, ino, mtimeNs, ctimeNs].join(" ");
  const below = (mode & 0o170000n) === 0o040000n ? readdirSync(path) : [];
  return [`${path}${link} ${line}`, ...below.sort().flatMap((name) => listing(join(path, name)))];
}
