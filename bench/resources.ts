/** What a measurement makes on the host, taken away again however it ends. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { OwnDaemon, type OwnDaemonOptions } from "../src/cli/own-daemon.js";
import { Undo } from "../src/tasks/concurrency/undo.js";
import { DAEMON } from "./options.js";

const execute = promisify(execFile);

export class Resources implements AsyncDisposable {
  private static names = 0;
  private readonly undo = new Undo();
  private readonly closing = new AbortController();

  /** Takes a step that is to be done at the end. After the end it is done at once, and the promise rejects. */
  async add(step: () => unknown): Promise<void> {
    if (this.closing.signal.aborted) {
      await step();
      throw new Error("the measurement is over");
    }
    this.undo.add(step);
  }

  /** A directory below the system's temporary one. */
  async directory(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), "stockade-bench-"));
    await this.add(() => rm(path, { recursive: true, force: true }));
    return path;
  }

  /** A name for a cgroup that nothing else has. */
  cgroupName(): string {
    return `/stockade-bench-${process.pid}-${Resources.names++}`;
  }

  /** A daemon of its own. */
  async daemon(options: Omit<OwnDaemonOptions, "program"> = {}): Promise<OwnDaemon> {
    const daemon = await OwnDaemon.start({ program: DAEMON, cgroupRoot: this.cgroupName(), ...options });
    await this.add(() => daemon.stop());
    return daemon;
  }

  /** What a program prints; rejects with its last words where it fails. */
  async outputOf(program: string, args: readonly string[]): Promise<string> {
    try {
      const options = { maxBuffer: 2 ** 24, signal: this.closing.signal };
      return (await execute(program, args, options)).stdout;
    } catch (error) {
      const { stderr = "", message } = error as Error & { stderr?: string };
      const lastWords = stderr.trim().split("\n").at(-1) ?? "";
      throw new Error(lastWords === "" ? message : lastWords, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closing.abort();
    await this.undo.run((error) => process.stderr.write(`cannot clean up: ${String(error)}\n`));
  }
}
