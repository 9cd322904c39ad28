/**
 * The one reader and the one writer of cgroup files.
 *
 * What is written, made or removed may wait in the kernel (for reclaim, or for the lock that all cgroups
 * share), so the thread pool does it. A file of counters is read here: the kernel answers from memory, in 10 µs,
 * where the pool takes 50 and 5 times the CPU time; when many are to be read it takes several turns. A list of
 * processes, for which the kernel may have to sort thousands, is the pool's too. One `write(2)` carries one value, as the kernel demands.
 * Errors are Node's own, told apart by `code` ("ENOENT", "EBUSY", …).
 *
 * Source: Documentation/admin-guide/cgroup-v2.rst, "Interface Files".
 */
import * as fs from "node:fs";
import { promisify } from "node:util";

import { inTurn, turns } from "../../tasks/concurrency/fair-turns.js";

type Pooled<Args extends unknown[], T> = (...args: Args) => Promise<T>;

/** As it is, but what it sets off begins in a turn that has time for it. */
function fair<Args extends unknown[], T>(call: Pooled<Args, T>): Pooled<Args, T> {
  return (...args) => inTurn(call(...args));
}

const open = fair(promisify(fs.open));
const close = fair(promisify(fs.close));
const mkdir = fair(promisify(fs.mkdir));
const rmdir = fair(promisify(fs.rmdir));
const readdir = promisify(fs.readdir);
const readFile = promisify(fs.readFile);

/** Larger than any cgroup file read here, but for cgroup.procs and io.stat, which are read in parts. */
const READ_BYTES = 4096;

const write = fair(
  (fd: number, text: string): Promise<number> =>
    new Promise((resolve, reject) => {
      fs.write(fd, text, null, "utf8", (error, bytes) => (error ? reject(error) : resolve(bytes)));
    }),
);

/** The `code` of an error of Node's, or of ours that carries one; undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** ENOENT: no such file. ENODEV: the cgroup went away between open and read. */
export function isGone(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOENT" || code === "ENODEV";
}

/** Reads a whole file. Rejects with the kernel's error. */
export async function readText(path: string): Promise<string> {
  await turns.enter();
  return readNow(path);
}

function readNow(path: string): string {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    const parts: Buffer[] = [];
    for (;;) {
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      const bytes = fs.readSync(fd, buffer);
      parts.push(buffer.subarray(0, bytes));
      // seq_file fills a buffer only as far as whole records fit, so a short read may not be the last
      // one; half a buffer left over means that no record was held back.
      if (bytes < READ_BYTES / 2) break;
    }
    return Buffer.concat(parts).toString("utf8");
  } finally {
    fs.closeSync(fd);
  }
}

/** Reads a whole file; undefined when there is none, or its cgroup has gone. */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await readText(path);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Reads a whole list of processes, of any length; undefined when there is none, or its cgroup has gone. */
export async function readListIfThere(path: string): Promise<string | undefined> {
  try {
    return await inTurn(readFile(path, "utf8"));
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Whether a list of processes has none, or is not there. */
export async function isEmptyList(path: string): Promise<boolean> {
  return ((await readListIfThere(path)) ?? "") === "";
}

/** Writes one value in one write(2); the file must be there. Rejects with the kernel's error. */
export async function writeText(path: string, value: string): Promise<void> {
  const fd = await open(path, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW);
  try {
    await write(fd, value);
  } finally {
    await close(fd);
  }
}

/** Writes one value; false when there is no such file, or its cgroup has gone. */
export async function writeTextIfThere(path: string, value: string): Promise<boolean> {
  try {
    await writeText(path, value);
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

/** Makes a directory; its parent must be there. True: made. False: it was there before. */
export async function makeDir(path: string): Promise<boolean> {
  try {
    await mkdir(path, 0o755);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
}

/** Makes a directory that must not be there before: EEXIST rejects. */
export async function makeNewDir(path: string): Promise<void> {
  await mkdir(path, 0o755);
}

/** Removes a directory; one that is not there is fine. Rejects with EBUSY while a process or a child cgroup is in it. */
export async function removeDir(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

/** The names of all entries of a directory; none when it is not there. */
export async function listNames(path: string): Promise<ReadonlySet<string>> {
  try {
    return new Set(await readdir(path));
  } catch (error) {
    if (isGone(error)) return new Set();
    throw error;
  }
}

/** The names of the child cgroups of a cgroup; none when it is not there. */
export async function listDirs(path: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}
