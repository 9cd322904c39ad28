/** Files that are collected of a task: `collected/<n>` in its record directory, from when they are copied until they are read. */
import { constants } from "node:fs";
import { mkdir, open, rm, unlink } from "node:fs/promises";
import { join } from "node:path";

import { codeOf, type Disk } from "./disk.js";

export const COLLECTED_NAME = "collected";

const PIECE_BYTES = 65_536;

/** Makes what such files are in; rejects with ENOENT where the record directory has gone. */
export async function makeCollectedDir(recordDir: string): Promise<string> {
  const directory = join(recordDir, COLLECTED_NAME);
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  return directory;
}

/** In pieces of 64 KiB at most. */
export async function* readCollectedFile(path: string): AsyncGenerator<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      const { bytesRead } = await file.read(piece, 0, PIECE_BYTES);
      if (bytesRead === 0) return;
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** What is not there is no error. */
export async function removeCollectedFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}

/** Removes what a daemon that died while it collected has left. */
export async function removeCollectedDir(disk: Disk, recordDir: string): Promise<void> {
  const directory = join(recordDir, COLLECTED_NAME);
  if (disk.exists(directory)) await rm(directory, { recursive: true, force: true });
}
