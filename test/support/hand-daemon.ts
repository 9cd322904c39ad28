/** A daemon started by hand: with the flags that a test gives it, and in directories that outlive it. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";

import { StockadeClient } from "../../src/client";
import { saysReady } from "../../src/cli/own-daemon";
import { PROGRAM } from "./daemon";
import { SLOW } from "./requires";

/** How long a daemon may take to start or to end, in milliseconds. */
const PATIENCE_MS = 20_000 * SLOW;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class HandDaemon implements AsyncDisposable {
  private constructor(
    private readonly process: ChildProcess,
    readonly client: StockadeClient,
    readonly exited: Promise<Ended>,
    private readonly said: { text: string },
  ) {}

  /** Starts a daemon that must come up; `address` is one of those that the flags have it listen on. */
  static async start(
    flags: readonly string[],
    address: string,
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<HandDaemon> {
    const child = spawn(PROGRAM, flags, { stdio: ["ignore", "ignore", "pipe"], env });
    const said = { text: "" };
    const ready = new Promise<void>((resolve) => {
      child.stderr.on("data", (chunk: Buffer) => {
        said.text += chunk.toString();
        if (saysReady(said.text)) resolve();
      });
    });
    const exited = new Promise<Ended>((resolve) =>
      child.once("exit", (code, signal) => resolve({ code, signal })),
    );
    const client = new StockadeClient(address);
    const early = exited.then(({ code }) => {
      throw new Error(`the daemon ended with ${code}: ${said.text}`);
    });
    try {
      // A client that comes too early looks again after a second.
      await Promise.race([ready, early]);
      await Promise.race([client.ready(PATIENCE_MS), early]);
    } catch (error) {
      client.close();
      child.kill("SIGKILL");
      throw error;
    } finally {
      early.catch(() => undefined);
    }
    return new HandDaemon(child, client, exited, said);
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  get logged(): string {
    return this.said.text;
  }

  /** Closes the reading end of its log. */
  async leaveLog(): Promise<void> {
    const { stderr } = this.process;
    if (stderr === null) return;
    const closed = once(stderr, "close");
    stderr.destroy();
    await closed;
  }

  async end(signal: NodeJS.Signals): Promise<Ended> {
    this.client.close();
    this.process.kill(signal);
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGTERM");
  }
}

export interface Refused {
  readonly status: number | null;
  readonly stderr: string;
  readonly stdout: string;
}

/** Starts a daemon that must refuse to; what it says, and its exit status. */
export function refused(flags: readonly string[]): Refused {
  const { status, stderr, stdout, error } = spawnSync(PROGRAM, flags, {
    encoding: "utf8",
    timeout: PATIENCE_MS,
  });
  if (error !== undefined) throw error;
  return { status, stderr, stdout };
}
