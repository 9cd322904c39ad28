/** The files that say whose a directory is: one id, in one line. */
import { constants } from "node:fs";
import { open, rename, type FileHandle } from "node:fs/promises";

/** What should be a mark is none. It is never guessed at, nor written over: whose the directory is, people must say. */
export class UnfitMark extends Error {
  constructor(path: string, why: string) {
    super(`${path} ${why}`);
    this.name = "UnfitMark";
  }
}

const { O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;

/** As randomUUID makes it. */
const MARK = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/;
const MARK_BYTES = 37;

/** The id that a file holds; undefined: there is no such file. Throws UnfitMark. */
export async function readMark(path: string): Promise<string | undefined> {
  const file = await openMark(path);
  if (file === undefined) return undefined;
  try {
    if (!(await file.stat()).isFile()) throw new UnfitMark(path, "is no regular file");
    const bytes = Buffer.alloc(MARK_BYTES + 1);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    const text = bytes.toString("latin1", 0, bytesRead);
    if (!MARK.test(text)) throw new UnfitMark(path, "does not hold the id of a state directory");
    return text.trim();
  } finally {
    await file.close();
  }
}

/** A fifo must not hold the daemon up: that it is none is known only once it is open. */
async function openMark(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new UnfitMark(path, code === "ELOOP" ? "is a symbolic link" : `cannot be read: ${code}`);
  }
}

/** Whole, or not at all, whatever happens meanwhile. */
export async function writeMark(path: string, id: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  try {
    await file.writeFile(`${id}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
