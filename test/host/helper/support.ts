/** A real launcher for a test, with directories of its own. */
import { linkSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { Launcher } from "../../../src/host/helper/launcher";
import type { SandboxDefaults } from "../../../src/host/helper/protocol";
import { findSubordinateIds, mapUsers } from "../../../src/host/subordinate-ids";
import type { CommandSpec, SandboxSpec } from "../../../src/tasks/ports";
import { NO_TIME_LIMITS } from "../../../src/tasks/request/time-limits";
import { isRoot, until } from "../../support/daemon";

export const HELPER = resolve(__dirname, "../../../dist/bin/stockade-helper");

const UID = isRoot() ? 65534 : (process.geteuid?.() ?? 0);
const GID = isRoot() ? 65534 : (process.getegid?.() ?? 0);

export class TestLauncher implements AsyncDisposable {
  private records = 0;

  private constructor(
    readonly launcher: Launcher,
    readonly pid: number,
    readonly directory: string,
    readonly defaults: SandboxDefaults,
  ) {}

  static async start(defaults: Partial<SandboxDefaults> = {}): Promise<TestLauncher> {
    const directory = mkdtempSync(join(tmpdir(), "stockade-launcher-"));
    mkdirSync(join(directory, "alloc"));
    const whole: SandboxDefaults = {
      allocRoot: join(directory, "alloc"),
      initUid: 65533,
      users: isRoot() ? "host" : "own",
      cgroupPrefix: "",
      tmpBytes: 1n << 20n,
      shmBytes: 1n << 20n,
      logBytes: 1n << 20n,
      linkBytes: 1n << 30n,
      ...defaults,
    };
    let pid = 0;
    const launcher = await Launcher.start(HELPER, whole, async (launched) => {
      pid = launched;
      if (whole.users === "launcher") await mapUsers(launched, whole.initUid, await findSubordinateIds());
    });
    return new TestLauncher(launcher, pid, directory, whole);
  }

  /** Of a shell's task, with a record directory of its own. */
  spec(changes: Partial<SandboxSpec> = {}): SandboxSpec {
    const recordDir = join(this.directory, `record${this.records++}`);
    mkdirSync(recordDir);
    const mounts = ["/usr/bin", "/usr/lib", "/lib64", "/bin", "/lib"].map((path) => ({
      source: realpathSync(path),
      target: path,
      readOnly: true,
      optional: true,
      link: false,
    }));
    return {
      uid: UID,
      gid: GID,
      groups: [],
      allocId: "alloc1",
      taskName: "task1",
      recordDir,
      workDir: "/local",
      ownNetwork: true,
      mounts,
      cgroup: undefined,
      ...NO_TIME_LIMITS,
      files: [],
      stdin: undefined,
      ...changes,
    };
  }

  /** Resolves when it has died of SIGKILL. */
  async kill(): Promise<void> {
    process.kill(this.pid, "SIGKILL");
    await this.launcher.gone;
    await this.launcher.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.launcher.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A tree that takes so long to embed that a making with it is still under way. */
export function longTree(directory: string): string {
  const tree = join(directory, "tree");
  for (let i = 0; i < 200; i++) mkdirSync(join(tree, `${i}`), { recursive: true });
  writeFileSync(join(tree, "file"), "");
  for (let i = 0; i < 20_000; i++) linkSync(join(tree, "file"), join(tree, `${i % 200}/${i}`));
  return tree;
}

export function embedding(tree: string): SandboxSpec["mounts"][number] {
  return { source: tree, target: "/tree", readOnly: true, optional: false, link: true };
}

/** A shell's script, for `start`. */
export function shell(script: string): CommandSpec {
  return { argv: ["sh", "-c", script], env: new Map([["PATH", "/usr/bin"]]) };
}

/** Field 22 of its stat. */
export function startTicks(pid: number): bigint {
  return BigInt(statFields(pid)?.[19] ?? -1);
}

/** Resolves once the process has stopped. */
export async function stopProcess(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await until(() => statFields(pid)?.[0] === "T");
}

/** The fields of its stat from the third on; undefined: it is not there. */
export function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** What native/exit-record.h says of a task. */
export interface ExitRecord {
  readonly started: boolean;
  readonly ended: boolean;
  readonly waitStatus: number;
}

export const PENDING: ExitRecord = { started: false, ended: false, waitStatus: 0 };

/** Pending, too, before init has come to make it, or to write it. */
export function readExitRecord(recordDir: string): ExitRecord {
  try {
    const record = readFileSync(join(recordDir, "exit"));
    if (record.length === 0) return PENDING;
    const flags = record.readUInt32LE(8);
    return {
      ended: (flags & 1) !== 0,
      started: (flags & 2) !== 0,
      waitStatus: record.readInt32LE(12),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return PENDING;
    throw error;
  }
}

/** What a task has written to its stdout. */
export function readLog(recordDir: string): string {
  try {
    return readFileSync(join(recordDir, "log/stdout"), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
