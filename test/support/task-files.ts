/** What a test puts in front of its tasks, and what it finds of them on the host. */
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

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

/** The alloc directories that a daemon has on disk. */
export function allocs(daemon: TestDaemon): string[] {
  return readdirSync(join(daemon.daemon.directory, "alloc")).filter((name) => !name.startsWith("."));
}

/** The directories in an alloc. */
export function entries(daemon: TestDaemon, allocId: string): string[] {
  const path = daemon.allocDir(allocId);
  return existsSync(path) ? readdirSync(path).sort() : [];
}
