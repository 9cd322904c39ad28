/** Files of this host: those that a task is given, and those that are written of it. */
import { randomUUID } from "node:crypto";
import { lstat, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import type { FileContent, TaskFile } from "../client/index.js";
import { UsageError } from "./usage-error.js";

/** As much as one request holds, of the standard input and all files together, in bytes. */
export const REQUEST_BYTES_MAX = 4 * 1024 * 1024;

/** Content and permissions of a file that is to go along. Throws a UsageError. */
export async function readLocalFile(path: string): Promise<FileContent> {
  try {
    const file = await open(path);
    try {
      const { mode, size } = await file.stat();
      if (size > REQUEST_BYTES_MAX) throw tooLarge(`'${path}'`);
      return { content: await file.readFile(), mode: mode & 0o777 };
    } finally {
      await file.close();
    }
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError(`'${path}' cannot be read: ${wordsOf(error)}`);
  }
}

/** A standard input, to its end. Throws a UsageError where that is more than a request holds. */
export async function readInput(stdin: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of stdin) {
    bytes += piece.length;
    if (bytes > REQUEST_BYTES_MAX) throw tooLarge("the standard input");
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function tooLarge(what: string): UsageError {
  return new UsageError(`${what} has more than 4 MiB: what is larger is mounted, by --volume`);
}

/**
 * Where a file of this name is to be written: at `to`, or in it where that is a directory. Throws a UsageError where it
 * cannot be, or where something is there and is to stay.
 */
export async function destinationOf(name: string, to: string, overwrite: boolean): Promise<string> {
  const isDirectory = to.endsWith("/") || (await stat(to).catch(() => undefined))?.isDirectory() === true;
  const path = isDirectory ? join(to, basename(name)) : to;
  const above = await stat(dirname(path)).catch(() => undefined);
  if (above?.isDirectory() !== true) throw new UsageError(`there is no directory '${dirname(path)}'`);
  const there = await lstat(path).catch(() => undefined);
  if (there?.isDirectory() === true) throw new UsageError(`'${path}' is a directory`);
  if (there !== undefined && !overwrite) throw new UsageError(`'${path}' is there: --overwrite replaces it`);
  return path;
}

/** Never through a link: what is there gives way, or stays, itself. */
export async function writeLocalFile(
  path: string,
  { content, mode }: Extract<TaskFile, { readonly content: Uint8Array }>,
  overwrite: boolean,
): Promise<void> {
  // Made, and not opened: of two that are made at a time one fails.
  const options = { flag: "wx", mode: mode & 0o777 };
  try {
    if (!overwrite) {
      await writeFile(path, content, options);
      return;
    }
    const fresh = `${path}.${randomUUID()}`;
    try {
      await writeFile(fresh, content, options);
      await rename(fresh, path);
    } catch (error) {
      await rm(fresh, { force: true });
      throw error;
    }
  } catch (error) {
    throw new Error(`'${path}' cannot be written: ${wordsOf(error)}`, { cause: error });
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
