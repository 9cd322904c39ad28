/** The file "record" in a task's record directory: replaced whole, read with no link followed. */
import { constants } from "node:fs";
import { join } from "node:path";

import { codeOf, type Disk } from "./disk.js";

export const RECORD_NAME = "record";
/** What a record is written to before it is renamed. One is enough: those of one task are written one by one. */
export const TEMPORARY_NAME = "record.new";

/** Of one file, in bytes. A record takes less, whatever the names, labels and limits in it. */
const SIZE_MAX = 65_536;

const { O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;

/** A fifo must not hold the daemon up: that it is none is known only once it is open. */
const READ = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

/** Out of descriptors or memory: that is the daemon's fault of the moment, and says nothing of any file. */
const SHORTAGES: readonly (string | undefined)[] = ["EMFILE", "ENFILE", "ENOMEM"];

/** What a small file is. `why`: for people. */
export type SmallFile =
  | { readonly kind: "content"; readonly bytes: Buffer; readonly changedMs: number }
  | { readonly kind: "absent" }
  | { readonly kind: "unreadable"; readonly why: string };

/**
 * Replaces the record of a directory by `bytes`. Rejects with Node's error, and then the old record is in place, and
 * nothing of the new one.
 */
export async function writeRecordFile(disk: Disk, directory: string, bytes: Buffer): Promise<void> {
  const temporary = join(directory, TEMPORARY_NAME);
  try {
    const fd = await disk.open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      for (let at = 0; at < bytes.length;) at += await disk.write(fd, bytes, at);
    } finally {
      disk.close(fd);
    }
    await disk.rename(temporary, join(directory, RECORD_NAME));
  } catch (error) {
    await disk.unlink(temporary).catch(() => undefined);
    throw error;
  }
}

/** Removes what a daemon that died while it wrote a record has left of it. */
export async function removeTemporary(disk: Disk, directory: string): Promise<void> {
  const temporary = join(directory, TEMPORARY_NAME);
  if (disk.exists(temporary)) await disk.unlink(temporary);
}

/** Reads a regular file of at most 64 KiB. Rejects, with EMFILE, ENFILE or ENOMEM, only where that can pass. */
export async function readSmallFile(disk: Disk, path: string): Promise<SmallFile> {
  try {
    const fd = await disk.open(path, READ);
    try {
      return await readOpen(disk, fd);
    } finally {
      disk.close(fd);
    }
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined || SHORTAGES.includes(code)) throw error;
    if (code === "ENOENT") return { kind: "absent" };
    return {
      kind: "unreadable",
      why: code === "ELOOP" ? "it is a symbolic link" : `it cannot be read: ${code}`,
    };
  }
}

async function readOpen(disk: Disk, fd: number): Promise<SmallFile> {
  const stat = disk.stat(fd);
  if (!stat.isFile()) return { kind: "unreadable", why: "it is no regular file" };
  if (stat.size > SIZE_MAX) return { kind: "unreadable", why: `it has more than ${SIZE_MAX} bytes` };
  const bytes = Buffer.allocUnsafe(stat.size);
  let size = 0;
  while (size < bytes.length) {
    const more = await disk.read(fd, bytes, size, size);
    if (more === 0) break;
    size += more;
  }
  return { kind: "content", bytes: bytes.subarray(0, size), changedMs: stat.ctimeMs };
}
