/** What a test puts in front of its tasks, and what it finds of them on the host. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { sha256 } from "./certificates";
import { type TestDaemon } from "./daemon";

/** A directory that a test file's own trees are in; it is gone when the file has run. */
export class Scratch implements Disposable {
  /** Every user can enter it. */
  readonly path = mkdtempSync(join(tmpdir(), "stockade-scratch-"));

  constructor() {
    execFileSync("chmod", ["755", this.path]);
  }

  /** Runs a shell script in it; what it prints. */
  sh(script: string): string {
    return execFileSync("sh", ["-ec", script], { cwd: this.path, encoding: "utf8" });
  }

  /** Compiles a C program that needs no library; answers its path. */
  compile(name: string, source: string): string {
    const path = join(this.path, name);
    writeFileSync(`${path}.c`, source);
    execFileSync("gcc", ["-static", "-O1", "-Wall", "-Werror", "-o", path, `${path}.c`]);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** `nobody 0700`, as words: uid, gid and mode of a path. */
export function ownerAndMode(path: string): string {
  const { uid, gid, mode } = lstatSync(path);
  return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
}

/** The records that a daemon has on disk. */
export function records(daemon: TestDaemon): string[] {
  return readdirSync(join(daemon.daemon.directory, "state/tasks"));
}

/** Has the record of a task say something else, as if a daemon had written it. */
export function changeRecord(daemon: TestDaemon, id: string, field: RegExp, value: string): void {
  const file = join(daemon.recordDir(id), "record");
  const text = readFileSync(file, "utf8");
  const [head = "", ...rest] = text.split("\n");
  const body = rest.join("\n").replace(field, value);
  if (text.endsWith(body)) throw new Error(`the record has nothing like ${field.source}`);
  writeFileSync(file, `${head.split(" sha256:")[0]} sha256:${sha256(body)}\n${body}`);
}

/** The alloc directories that a daemon has on disk. */
export function allocs(daemon: TestDaemon): string[] {
  return readdirSync(join(daemon.daemon.directory, "alloc")).filter((name) => !name.startsWith("."));
}

/** The directories in an alloc. */
export function entries(daemon: TestDaemon, allocId: string): string[] {
  const path = daemon.allocDir(allocId);
  return existsSync(path) ? readdirSync(path).sort() : [];
}
