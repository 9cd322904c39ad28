/** What a measurement makes on the host, taken away again however it ends. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { OwnDaemon, type OwnDaemonOptions } from "../src/cli/own-daemon.js";
import { Undo } from "../src/tasks/undo.js";
import { DAEMON } from "./options.js";

const run = promisify(execFile);

export class Resources implements AsyncDisposable {
  private readonly undo = new Undo();
  private static names = 0;

  add(step: () => unknown): void {
    this.undo.add(step);
  }

  /** A directory below the system's temporary one. */
  async directory(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), "stockade-bench-"));
    this.add(() => rm(path, { recursive: true, force: true }));
    return path;
  }

  /** A name of this process's own for a cgroup. */
  cgroupName(): string {
    return `/stockade-bench-${process.pid}-${Resources.names++}`;
  }

  /** A daemon of its own. */
  async daemon(options: Omit<OwnDaemonOptions, "program"> = {}): Promise<OwnDaemon> {
    const daemon = await OwnDaemon.start({ program: DAEMON, cgroupRoot: this.cgroupName(), ...options });
    this.add(() => daemon[Symbol.asyncDispose]());
    return daemon;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.undo.run((error) => process.stderr.write(`cannot clean up: ${String(error)}\n`));
  }
}

/** What a program prints; rejects with its last words where it fails. */
export async function outputOf(program: string, args: readonly string[]): Promise<string> {
  try {
    return (await run(program, args, { maxBuffer: 2 ** 24 })).stdout;
  } catch (error) {
    const { stderr = "", message } = error as Error & { stderr?: string };
    throw new Error(stderr.trim().split("\n").at(-1) ?? message, { cause: error });
  }
}
