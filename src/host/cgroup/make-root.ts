/**
 * Making the directories of the cgroup root and of tasks.
 *
 * Source: admin-guide/cgroup-v2.rst, "Organizing Processes and Threads", "Controlling Controllers";
 * admin-guide/cgroup-v1/cpusets.rst.
 */
import { join } from "node:path";
import {
  parseWords,
  shownPath,
  V2_CONTROLLERS,
  type CgroupMounts,
  type Hierarchy,
  type V1Controller,
} from "./detect.js";
import {
  errorCode,
  makeDir,
  makeNewDir,
  readText,
  readTextIfThere,
  removeDir,
  writeText,
  writeTextIfThere,
} from "./files.js";
import { allDirs, childPlace, type CgroupPlace } from "./kill.js";

/** The name of the cgroup of all inits. */
export const INITS = "inits";

/** No cgroup hierarchy can be used here; `reason` is for the operator. */
export class CgroupsUnusable extends Error {
  readonly code = "CGROUPS_UNUSABLE";
  constructor(
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`use cgroups: ${reason}`, options);
    this.name = "CgroupsUnusable";
  }
}

/** `<root>` and `<root>/inits`, made in each hierarchy that lets us. */
export interface Made {
  readonly place: CgroupPlace;
  readonly inits: CgroupPlace;
  /** The root's directory by v1 controller. */
  readonly dirs: ReadonlyMap<V1Controller, string>;
  /** Why a controller is not among them. */
  readonly missing: ReadonlyMap<string, string>;
}

export async function makeRoot(mounts: CgroupMounts, root: string, made: string[]): Promise<Made> {
  const dirs = new Map<V1Controller, string>();
  const missing = new Map<string, string>();
  const shown = new Set<string>();
  const done = new Map<Hierarchy, string | undefined>();
  for (const [controller, hierarchy] of mounts.v1) {
    if (!done.has(hierarchy)) done.set(hierarchy, await makeV1(hierarchy, root, controller, made));
    const refusal = done.get(hierarchy);
    if (refusal === undefined) dirs.set(controller, join(hierarchy.dir, root));
    else missing.set(controller, `the ${controller} controller cannot be used: ${refusal}`);
    shown.add(shownPath(hierarchy, root));
  }
  let v2Dir: string | undefined;
  if (mounts.v2 !== undefined) {
    const refusal = await makeV2(mounts.v2, root, mounts.mode === "v2", missing, made);
    if (refusal === undefined) v2Dir = join(mounts.v2.dir, root);
    else missing.set("v2", refusal);
    shown.add(shownPath(mounts.v2, root));
  }
  const place: CgroupPlace = {
    path: root,
    shown,
    v2Dir,
    v1Dirs: [...new Set(dirs.values())],
    freezerDir: dirs.get("freezer"),
  };
  if (allDirs(place).length === 0) {
    throw new CgroupsUnusable(
      `no cgroup can be made: ${[...missing.values()].at(-1) ?? "no controller is mounted"}`,
    );
  }
  return { place, inits: childPlace(place, INITS), dirs, missing };
}

/** Makes a directory and remembers it; the error's name when it can't be made. */
async function tryMake(dir: string, made: string[]): Promise<string | undefined> {
  try {
    if (await makeDir(dir)) made.push(dir);
    return undefined;
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    return code;
  }
}

/** Each directory on the way from a mount to the root, the mount itself first. */
function dirsTo(hierarchy: Hierarchy, root: string): readonly string[] {
  let dir = hierarchy.dir;
  const dirs = [dir];
  for (const part of root.slice(1).split("/")) dirs.push((dir = join(dir, part)));
  return dirs;
}

async function makeV1(
  hierarchy: Hierarchy,
  root: string,
  controller: V1Controller,
  made: string[],
): Promise<string | undefined> {
  const [mountDir, ...dirs] = dirsTo(hierarchy, root);
  let parent = mountDir ?? hierarchy.dir;
  for (const dir of [...dirs, join(hierarchy.dir, root, INITS)]) {
    const refusal = await tryMake(dir, made);
    if (refusal !== undefined) return refusal;
    if (controller === "cpuset") await fillCpuset(parent, dir);
    // Always 1 since Linux 5.11; before, a child's use is its parent's only with it.
    if (
      controller === "memory" &&
      (await readTextIfThere(join(dir, "memory.use_hierarchy")))?.trim() === "0"
    ) {
      await writeText(join(dir, "memory.use_hierarchy"), "1");
    }
    parent = dir;
  }
  return undefined;
}

/** A new v1 cpuset is empty, and nothing can join it. clone_children fills those made in it as it is filled itself. */
export async function fillCpuset(parent: string, dir: string): Promise<void> {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if ((await readTextIfThere(join(dir, file)))?.trim() === "")
      await writeText(join(dir, file), await readText(join(parent, file)));
  }
  await writeTextIfThere(join(dir, "cgroup.clone_children"), "1");
}

/** Makes the root; where limits are on v2, hands the controllers down to it. Those that can't be go to `missing`. */
async function makeV2(
  hierarchy: Hierarchy,
  root: string,
  limits: boolean,
  missing: Map<string, string>,
  made: string[],
): Promise<string | undefined> {
  for (const dir of dirsTo(hierarchy, root)) {
    const refusal = dir === hierarchy.dir ? undefined : await tryMake(dir, made);
    if (refusal !== undefined) return refusal;
    if (limits) await handDown(dir, missing);
  }
  const inits = join(hierarchy.dir, root, INITS);
  const refusal = await tryMake(inits, made);
  if (refusal !== undefined) return refusal;
  const type = (await readText(join(inits, "cgroup.type"))).trim();
  return type === "domain" ? undefined : `the cgroups are '${type}'`;
}

/**
 * Enables each controller for the children of a cgroup. Not while processes are in one that is not the root
 * (only the root has no cgroup.type): the kernel refuses memory and io with EBUSY, but takes cpu, cpuset and pids, and then
 * no process can join the children any more ("domain invalid").
 */
async function handDown(dir: string, missing: Map<string, string>): Promise<void> {
  const [available, enabled, type, procs] = await Promise.all([
    readText(join(dir, "cgroup.controllers")).then(parseWords),
    readText(join(dir, "cgroup.subtree_control")).then(parseWords),
    readTextIfThere(join(dir, "cgroup.type")),
    readText(join(dir, "cgroup.procs")),
  ]);
  const busy = type !== undefined && procs !== "";
  for (const controller of V2_CONTROLLERS) {
    if (enabled.has(controller) || missing.has(controller)) continue;
    if (!available.has(controller)) {
      missing.set(controller, `this host has no ${controller} controller`);
      continue;
    }
    if (busy) {
      missing.set(
        controller,
        `the ${controller} controller cannot be enabled: processes are in a cgroup above the tasks'`,
      );
      continue;
    }
    try {
      await writeText(join(dir, "cgroup.subtree_control"), `+${controller}`);
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined) throw error;
      missing.set(controller, `the ${controller} controller cannot be enabled: ${code}`);
    }
  }
}

export async function removeMade(made: readonly string[]): Promise<void> {
  for (const dir of [...made].reverse()) {
    try {
      await removeDir(dir);
    } catch (error) {
      if (errorCode(error) !== "EBUSY") throw error;
    }
  }
}

/** Makes each directory of a new cgroup, all or none. */
export async function makeNew(place: CgroupPlace): Promise<void> {
  const results = await Promise.allSettled(
    allDirs(place).map(async (dir) => {
      await makeNewDir(dir);
      return dir;
    }),
  );
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) return;
  const done = results.filter((result) => result.status === "fulfilled");
  await Promise.all(done.map((result) => removeDir(result.value)));
  throw failed.reason;
}
