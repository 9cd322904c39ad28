/**
 * The calls of the disk that a record depends on: one system call each, by Node's callback functions, which take half
 * of what a FileHandle does. Their errors are Node's, with a `code`. Those that never wait for a disk are made at once:
 * to hand one to another thread takes ten times as long as it does.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsync as syncFile,
  open as openFile,
  read as readFile,
  rename as renameFile,
  unlink as unlinkFile,
  write as writeFile,
  type Stats,
} from "node:fs";

import { inTurn } from "../tasks/concurrency/fair-turns.js";

export interface Disk {
  /** A file descriptor, which is the caller's to close. */
  open(path: string, flags: number, mode?: number): Promise<number>;
  stat(fd: number): Stats;
  /** How many bytes were read into `bytes`, from its `start` on; 0: there are no more. `position`: in the file. */
  read(fd: number, bytes: Buffer, start: number, position: number): Promise<number>;
  /** How many bytes of `bytes`, from `start` on, were written. */
  write(fd: number, bytes: Buffer, start: number): Promise<number>;
  fsync(fd: number): Promise<void>;
  close(fd: number): void;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** For a path in a directory that has just been used: what is in it is in memory. */
  exists(path: string): boolean;
}

export const nodeDisk: Disk = {
  open: (path, flags, mode) => answer((done) => openFile(path, flags, mode, done)),
  stat: (fd) => fstatSync(fd),
  read: (fd, bytes, start, position) =>
    answer((done) => readFile(fd, bytes, start, bytes.length - start, position, done)),
  write: (fd, bytes, start) => answer((done) => writeFile(fd, bytes, start, done)),
  fsync: (fd) => answer((done) => syncFile(fd, done)),
  close: (fd) => closeSync(fd),
  rename: (from, to) => answer((done) => renameFile(from, to, done)),
  unlink: (path) => answer((done) => unlinkFile(path, done)),
  exists: (path) => existsSync(path),
};

/** What Node calls an error of the system, "ENOENT"; undefined: it is none. */
export function codeOf(error: unknown): string | undefined {
  const { code } = error as NodeJS.ErrnoException;
  return code;
}

function answer<T>(call: (done: (error: Error | null | undefined, value: T) => void) => void): Promise<T> {
  return inTurn(
    new Promise((resolve, reject) => {
      call((error, value) => (error === null || error === undefined ? resolve(value) : reject(error)));
    }),
  );
}
