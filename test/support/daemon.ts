/** A real daemon for a test file, and the counting of what its tasks leave behind. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { OwnDaemon } from "../../src/cli/own-daemon";
import { StockadeError, type ConfigureFields, type Exit, type StockadeClient } from "../../src/client";
import { textOf } from "./losses";
import { removeCgroups } from "./remove-cgroups";
import { SLOW } from "./requires";

export const PROGRAM = resolve(__dirname, "../../dist/bin/stockaded");

let daemons = 0;

export class TestDaemon implements AsyncDisposable {
  private names = 0;
  /** The ids of those that `configure` has made. */
  readonly configured: string[] = [];

  private constructor(
    readonly daemon: OwnDaemon,
    readonly cgroupRoot: string,
    private readonly log: readonly string[],
  ) {}

  static async start(
    config: Record<string, unknown> = {},
    program = PROGRAM,
    env: NodeJS.ProcessEnv = process.env,
    listen: readonly string[] = [],
  ): Promise<TestDaemon> {
    const cgroupRoot = `/stockade-test-${process.pid}-${daemons++}`;
    const written: string[] = [];
    const daemon = await OwnDaemon.start({
      program,
      cgroupRoot,
      config,
      env,
      listen,
      onLog: (text) => written.push(text),
    });
    return new TestDaemon(daemon, cgroupRoot, written);
  }

  get client(): StockadeClient {
    return this.daemon.client;
  }

  get pid(): number {
    if (this.daemon.pid === undefined) throw new Error("the daemon does not run");
    return this.daemon.pid;
  }

  /** What the daemon has logged so far. */
  get logged(): string {
    return this.log.join("");
  }

  /** A name that no other task of this daemon has. */
  freshName(): string {
    return `t${this.names++}`;
  }

  /** Configures a shell script, in an alloc of its own unless the request names one. */
  async configure(request: ConfigureFields = {}): Promise<string> {
    const name = this.freshName();
    const whole = { allocId: name, taskName: name, allowUnenforced: !isRoot(), ...request };
    const { id } = await this.client.configure(whole);
    this.configured.push(id);
    return id;
  }

  /** Configure and Start; answers the id, and the main process as the host sees it. */
  async started(request: ConfigureFields = SLEEPER): Promise<Started> {
    const id = await this.configure(request);
    return { id, pid: (await this.client.start(id)).pid };
  }

  /** Configure, Start and Wait of `sh -c script`; with everything that the logs hold of what it wrote. */
  async run(script: string, request: ConfigureFields = {}): Promise<Ran> {
    const id = await this.configure({ command: "/bin/sh", args: ["-c", script], ...request });
    await this.client.start(id);
    const { exit } = await this.client.wait(id);
    if (exit === undefined) throw new Error("Wait answered no exit");
    const { stdout, stderr } = await this.output(id);
    return {
      id,
      exit,
      stdout: stdout.slice(Number(exit.stdoutDroppedBytes)),
      stderr: stderr.slice(Number(exit.stderrDroppedBytes)),
    };
  }

  /** What a task has written so far, from the authoritative logs; what they have lost reads as zeros. */
  async output(id: string): Promise<{ stdout: string; stderr: string }> {
    const record = this.recordDir(id);
    const [stdout, stderr] = await Promise.all(
      ["stdout", "stderr"].map((stream) => readFile(join(record, "log", stream), "utf8")),
    );
    return { stdout: stdout ?? "", stderr: stderr ?? "" };
  }

  recordDir(id: string): string {
    return join(this.daemon.directory, "state/tasks", id.split(/[/:]/).at(-1) ?? "");
  }

  allocDir(allocId: string): string {
    return join(this.daemon.directory, "alloc", allocId);
  }

  /** Its record, as it is on disk. */
  record(id: string): Promise<string> {
    return readFile(join(this.recordDir(id), "record"), "utf8");
  }

  /** Ends the daemon and starts one on its directories. */
  async restart(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.end(signal);
    await this.startAgain();
  }

  end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    return this.daemon.end(signal);
  }

  /** Where a test that failed has left none. */
  async startUnlessRunning(): Promise<void> {
    if (this.daemon.pid === undefined) await this.startAgain();
  }

  startAgain(): Promise<void> {
    return this.daemon.startAgain();
  }

  /** Ends all that runs, whatever has become of the daemon. */
  async endAll(): Promise<void> {
    await this.startUnlessRunning();
    await Promise.allSettled(this.configured.map((id) => this.client.forceStop(id)));
  }

  /** The daemon's children: one, but while the next takes over. */
  launchers(): number[] {
    return children(this.pid);
  }

  get launcher(): number {
    const [launcher] = this.launchers();
    if (launcher === undefined) throw new Error("the daemon has no launcher");
    return launcher;
  }

  /** Every init of a task, whoever its parent is. */
  initPids(): number[] {
    const launchers = this.daemon.pid === undefined ? [] : this.launchers();
    const files = cgroupMounts()
      .map((mount) => join(mount, this.cgroupRoot, "inits/cgroup.procs"))
      .filter((path) => existsSync(path));
    if (files.length === 0) return this.initPidsOnRecord();
    const pids = files.flatMap((path) => readFileSync(path, "utf8").split("\n").filter(Boolean).map(Number));
    return [...new Set(pids)].filter((pid) => !launchers.includes(pid));
  }

  /** Where there are no cgroups, the records alone say which they are. */
  private initPidsOnRecord(): number[] {
    const tasks = join(this.daemon.directory, "state/tasks");
    const pids = readdirSync(tasks).map(
      (uuid) => /"initPid": (\d+)/.exec(textOf(join(tasks, uuid, "record")) ?? "")?.[1],
    );
    return pids.map(Number).filter((pid) => textOf(`/proc/${pid}/comm`) === "stockade-init\n");
  }

  /** Everything of tasks that is there now: cgroups, mounts, processes. Empty when none is alive. */
  leftovers(): string[] {
    return [...this.taskCgroups(), ...this.taskMounts(), ...this.taskProcesses()];
  }

  /** How many descriptors the daemon and its launcher hold. */
  descriptors(): number {
    return [this.pid, ...children(this.pid)]
      .map((pid) => descriptors(pid))
      .reduce((sum, count) => sum + count, 0);
  }

  taskCgroups(): string[] {
    return cgroupMounts()
      .map((mount) => join(mount, this.cgroupRoot))
      .filter((root) => existsSync(root))
      .flatMap((root) =>
        readdirSync(root, { withFileTypes: true })
          .filter((entry) => entry.isDirectory() && /^[0-9a-f]{8}-/.test(entry.name))
          .map((entry) => join(root, entry.name)),
      );
  }

  private taskMounts(): string[] {
    return readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(this.daemon.directory));
  }

  /** All below the launcher. */
  taskProcesses(): string[] {
    const below = children(this.pid).flatMap((launcher) => descendants(launcher));
    return [...new Set([...below, ...this.initPids()])].map((pid) => `process ${pid}`);
  }

  /** With all that runs, whatever has become of the daemon. */
  async [Symbol.asyncDispose](): Promise<void> {
    // What a daemon leaves to the next is found by its cgroup, where it has one.
    if (!isRoot() && this.configured.length > 0) await this.endAll().catch(() => undefined);
    await this.daemon[Symbol.asyncDispose]();
    if (isRoot()) await removeCgroups(cgroupMounts(), this.cgroupRoot);
  }
}

/** A task that runs until it is stopped. */
export const SLEEPER = { command: "/bin/sleep", args: ["1000"] };

export interface Started {
  readonly id: string;
  readonly pid: number;
}

export interface Ran {
  readonly id: string;
  readonly exit: Exit;
  readonly stdout: string;
  readonly stderr: string;
}

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** Every cgroup hierarchy of this host. */
export function cgroupMounts(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4] ?? "");
}

function children(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8")
        .split(" ")
        .filter((child) => child !== "")
        .map(Number),
    );
  } catch {
    return [];
  }
}

/** How many descriptors a process holds. */
export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Every process below another. */
export function descendants(pid: number): number[] {
  return children(pid).flatMap((child) => [child, ...descendants(child)]);
}

/** The error of a call that must fail. */
export async function failure(call: Promise<unknown>): Promise<StockadeError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof StockadeError) return error;
    throw error;
  }
  throw new Error("the call succeeded, and should not have");
}

/** Polls until the condition holds; for what no event tells. */
export async function until(condition: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = Date.now() + ms * SLOW;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error("the condition did not come true in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
