/** Real cgroups and small real programs for the tests of this folder. */
import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { openCgroupRoot, type CgroupRoot } from "../../../src/host/cgroup/root.js";
import type { TaskCgroup } from "../../../src/tasks/ports.js";
import type { NeedName } from "../../support/requires.js";

/** Needs of these tests: making cgroups takes root, whichever controllers there are. */
export const CGROUPS = "cgroups";
export const V1: readonly NeedName[] = ["cgroups", "cgroup-v1"];
export const V1_FREEZER: readonly NeedName[] = ["cgroups", "v1-freezer"];
export const V2: readonly NeedName[] = ["cgroups", "cgroup-v2"];

let count = 0;

/** A root of the test's own, below the mounts. */
export function newRootPath(): string {
  return `/stockade-test-${process.pid}-${++count}`;
}

/** Runs a test with a root of its own, and removes all of it whatever happens. */
export async function withRoot(test: (root: CgroupRoot) => Promise<void>): Promise<void> {
  const root = await openCgroupRoot({ root: newRootPath() });
  try {
    await test(root);
  } finally {
    await root.sweep();
    await root.remove({ killInits: true });
  }
}

export async function withTask(test: (task: TaskCgroup, root: CgroupRoot) => Promise<void>): Promise<void> {
  await withRoot(async (root) => test(await root.host.create(randomUUID()), root));
}

export function dirsOf(cgroup: {
  readonly v2Dir: string | undefined;
  readonly v1Dirs: readonly string[];
}): readonly string[] {
  return cgroup.v2Dir === undefined ? cgroup.v1Dirs : [cgroup.v2Dir, ...cgroup.v1Dirs];
}

/** Text of the one file of this name in a task's cgroup; undefined: in none of its directories. */
export function fileOf(task: TaskCgroup, name: string): string | undefined {
  const dir = dirsOf(task).find((candidate) => existsSync(`${candidate}/${name}`));
  return dir === undefined ? undefined : readFileSync(`${dir}/${name}`, "utf8").trim();
}

/** Puts a process into every directory of a cgroup. */
export function join(task: TaskCgroup, pid: number): void {
  for (const dir of dirsOf(task)) writeFileSync(`${dir}/cgroup.procs`, String(pid));
}

/** Starts a shell that joins the cgroup, and only then runs the script. */
export function runIn(task: TaskCgroup, script: string): ChildProcess {
  const joins = dirsOf(task).map((dir) => `echo $$ > ${dir}/cgroup.procs`);
  return spawn("sh", ["-c", [...joins, script].join("\n")], { stdio: ["ignore", "pipe", "ignore"] });
}

/** How a child ended. */
export async function endOf(
  child: ChildProcess,
): Promise<{ readonly code: number | null; readonly signal: string | null }> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return { code: child.exitCode, signal: child.signalCode };
}

/** The first line that a child prints. */
export async function firstLineOf(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error("the child's output is not read");
  const [chunk] = (await once(child.stdout, "data")) as [Buffer];
  return chunk.toString().trim();
}
