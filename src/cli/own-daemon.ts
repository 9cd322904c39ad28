/** A daemon that this process starts, with directories of its own, and takes away again. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { StockadeClient } from "../client/index.js";

/** How long the daemon may take until it answers, in milliseconds. */
const START_MS = 60_000;

/** How much of its log is kept for the message of a failed start, in characters. */
const LOG_TAIL = 16_384;

export interface OwnDaemonOptions {
  /** Path of stockaded. */
  readonly program: string;
  /** A root that nothing else uses: "/stockade-demo-1". Absent: the daemon's own choice. */
  readonly cgroupRoot?: string;
  /** What its config file says. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Its environment. Absent: this process's. */
  readonly env?: NodeJS.ProcessEnv;
  /** Takes what the daemon logs. */
  readonly onLog?: (text: string) => void;
}

export class OwnDaemon implements AsyncDisposable {
  private constructor(
    private readonly process: ChildProcess,
    /** Its directories: `state`, `alloc` below it. */
    readonly directory: string,
    readonly client: StockadeClient,
    /** Where it listens. */
    readonly address: string,
  ) {}

  static async start(options: OwnDaemonOptions): Promise<OwnDaemon> {
    const { program, cgroupRoot, config = {}, env, onLog } = options;
    const directory = await mkdtemp(join(tmpdir(), "stockade-"));
    const address = `unix:${join(directory, "stockaded.sock")}`;
    const configFile = join(directory, "config.json");
    await writeFile(configFile, JSON.stringify(config));
    const flags = [
      ["--config", configFile],
      ["--listen", address],
      ["--state-dir", join(directory, "state")],
      ["--alloc-dir", join(directory, "alloc")],
      cgroupRoot === undefined ? [] : ["--cgroup-root", cgroupRoot],
    ].flat();
    const child = spawn(program, flags, { stdio: ["ignore", "ignore", "pipe"], env });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-LOG_TAIL);
      onLog?.(chunk.toString());
    });
    const client = new StockadeClient(address);
    const died = new Promise<never>((_resolve, reject) => {
      child.once("error", reject);
      child.once("exit", () => reject(new Error(lastMessage(said))));
    });
    try {
      await Promise.race([client.ready(START_MS), died]);
      return new OwnDaemon(child, directory, client, address);
    } catch (error) {
      client.close();
      child.kill("SIGTERM");
      await rm(directory, { recursive: true, force: true });
      throw error;
    } finally {
      died.catch(() => undefined);
    }
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Resolves when the daemon has ended, and its directories are gone. */
  async stop(): Promise<void> {
    this.client.close();
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const exited = new Promise((resolve) => this.process.once("exit", resolve));
      this.process.kill("SIGTERM");
      await exited;
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** The daemon's last word before it ended; its log is one JSON object a line. */
function lastMessage(log: string): string {
  const line = log.trim().split("\n").at(-1) ?? "";
  try {
    return (JSON.parse(line) as { message: string }).message;
  } catch {
    return line === "" ? "the daemon ended without a word" : line;
  }
}
