/** A directory with the programs of a test file, for tasks to see at /fixtures. */
import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import type { Mount } from "../../src/client";
import { DEFAULT_CHROOT } from "../../src/tasks/request/default-chroot";

const run = promisify(execFile);
const SOURCES = resolve(__dirname, "../fixtures");

/** Where tasks that are given `mounts` find the directory. */
export const FIXTURES = "/fixtures";

export class Fixtures implements AsyncDisposable {
  private constructor(readonly directory: string) {}

  /** Compiles test/fixtures/<name>.c for each name, statically, so that any root will do. */
  static async make(...names: readonly string[]): Promise<Fixtures> {
    const directory = await mkdtemp(join(tmpdir(), "stockade-fixtures-"));
    await chmod(directory, 0o755);
    await Promise.all(
      names.map((name) =>
        run("gcc", ["-static", "-O2", "-o", join(directory, name), join(SOURCES, `${name}.c`)]),
      ),
    );
    return new Fixtures(directory);
  }

  /** For the request of a task that is to see the directory. */
  get mounts(): Mount[] {
    return [{ source: this.directory, target: FIXTURES, readOnly: true }];
  }

  /** For the configuration of a daemon whose tasks may. */
  get config(): { readonly allowed_paths: readonly { readonly path: string }[] } {
    return {
      allowed_paths: [...DEFAULT_CHROOT.map(({ source }) => source), this.directory].map((path) => ({
        path,
      })),
    };
  }

  /** Adds a file; returns its path in the task. */
  async write(name: string, text: string, mode: number): Promise<string> {
    const path = join(this.directory, name);
    await writeFile(path, text);
    await chmod(path, mode);
    return `${FIXTURES}/${name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}
