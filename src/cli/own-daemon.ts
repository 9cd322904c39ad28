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
  /** Where it listens beside its own socket. */
  readonly listen?: readonly string[];
  /** What its config file says. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Its environment. Absent: this process's. */
  readonly env?: NodeJS.ProcessEnv;
  /** Takes what the daemon logs. */
  readonly onLog?: (text: string) => void;
}

export class OwnDaemon implements AsyncDisposable {
  private running: Running | undefined;

  private constructor(
    private readonly options: OwnDaemonOptions,
    /** Its directories: `state`, `alloc` below it. */
    readonly directory: string,
  ) {}

  static async start(options: OwnDaemonOptions): Promise<OwnDaemon> {
    const directory = await mkdtemp(join(tmpdir(), "stockade-"));
    const daemon = new OwnDaemon(options, directory);
    try {
      const config = { end_tasks_on_stop: true, ...options.config };
      await writeFile(daemon.configFile, JSON.stringify(config));
      await daemon.startAgain();
      return daemon;
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Where it listens. */
  get address(): string {
    return `unix:${join(this.directory, "stockaded.sock")}`;
  }

  /** Of the process that runs now; a client of an earlier one is closed. */
  get client(): StockadeClient {
    if (this.running === undefined) throw new Error("the daemon does not run");
    return this.running.client;
  }

  get pid(): number | undefined {
    return this.running?.process.pid;
  }

  /** Starts one that has ended on its directories again; resolves when it answers. */
  async startAgain(): Promise<void> {
    const { program, cgroupRoot, env, onLog, listen = [] } = this.options;
    const flags = [
      ["--config", this.configFile],
      ["--listen", this.address],
      ...listen.map((address) => ["--listen", address]),
      ["--state-dir", join(this.directory, "state")],
      ["--alloc-dir", join(this.directory, "alloc")],
      cgroupRoot === undefined ? [] : ["--cgroup-root", cgroupRoot],
    ].flat();
    const child = spawn(program, flags, { stdio: ["ignore", "ignore", "pipe"], env });
    let said = "";
    const ready = new Promise<void>((resolve) => {
      child.stderr.on("data", (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-LOG_TAIL);
        onLog?.(chunk.toString());
        if (saysReady(said)) resolve();
      });
    });
    const client = new StockadeClient(this.address);
    const died = new Promise<never>((_resolve, reject) => {
      child.once("error", reject);
      child.once("exit", () => reject(new Error(lastMessage(said))));
    });
    try {
      // A client that comes too early looks again after a second.
      await Promise.race([ready, died]);
      await Promise.race([client.ready(START_MS), died]);
      this.running = { process: child, client };
    } catch (error) {
      client.close();
      child.kill("SIGTERM");
      throw error;
    } finally {
      died.catch(() => undefined);
    }
  }

  /** Resolves when the daemon has ended; its directories, and what runs, are left. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const running = this.running;
    this.running = undefined;
    if (running === undefined) return;
    running.client.close();
    if (running.process.exitCode !== null || running.process.signalCode !== null) return;
    const exited = new Promise((resolve) => running.process.once("exit", resolve));
    running.process.kill(signal);
    await exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Resolves when the daemon has ended, and its directories are gone. */
  async stop(): Promise<void> {
    await this.end("SIGTERM");
    await rm(this.directory, { recursive: true, force: true });
  }

  private get configFile(): string {
    return join(this.directory, "config.json");
  }
}

interface Running {
  readonly process: ChildProcess;
  readonly client: StockadeClient;
}

/** Whether a daemon's log says that it takes tasks. */
export function saysReady(log: string): boolean {
  return log.includes('"message":"ready"');
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
