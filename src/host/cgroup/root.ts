/**
 * The cgroup root: `<root>` in each usable hierarchy, `<root>/inits` for all inits, `<root>/<uuid>`
 * for each task.
 *
 * Source: admin-guide/cgroup-v2.rst, "Organizing Processes and Threads", "Controlling Controllers".
 */
import { join } from "node:path";
import { forEachAtMost } from "../../tasks/concurrency/for-each-at-most.js";
import type { LimitName } from "../../tasks/limits.js";
import type { CgroupHost } from "../../tasks/ports.js";
import {
  chooseMounts,
  findV2,
  parseMountinfo,
  parseWords,
  type CgroupMode,
  type CgroupMounts,
} from "./detect.js";
import { listDirs, listNames, readListIfThere, readText, readTextIfThere, writeText } from "./files.js";
import { allDirs, childPlace, isEmpty, killAll, removeAll } from "./kill.js";
import { CgroupsUnusable, makeRoot, removeMade } from "./make-root.js";
import { parseStackedMajors } from "./usage.js";
import { openV1 } from "./v1-host.js";
import { openV2 } from "./v2-host.js";

export { CgroupsUnusable } from "./make-root.js";

/** Where a second unit of ours keeps the tasks, under systemd. */
export const UNIT_ROOT = "/system.slice/stockade-tasks.service";
export const DEFAULT_ROOT = "/stockade";

/** The name of a task's cgroup: a UUID in lower case. Nothing else below the root is ever swept. */
const TASK_NAME = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** One whose processes cannot die keeps nobody but itself waiting. */
const SWEPT_AT_ONCE = 64;

/** True: the name may be that of a task's cgroup. */
export function isTaskName(name: string): boolean {
  return TASK_NAME.test(name);
}

export interface CgroupRootOptions {
  /** Below the mounts, absolute, not "/". Default: the tasks' systemd unit, if it is there, else "/stockade". */
  readonly root?: string;
  /** Default "/proc". */
  readonly procDir?: string;
  /** Default "/sys/block". */
  readonly sysBlockDir?: string;
}

export interface SweepOptions {
  /** Names of the tasks' cgroups to leave as they are. */
  readonly keep?: ReadonlySet<string>;
}

export interface RemoveOptions {
  /** Kill what is left in the cgroup of the inits: only where the root is known to be the caller's. */
  readonly killInits?: boolean;
  /** Also remove the root where it was there before: an earlier daemon of the caller's has made it. */
  readonly all?: boolean;
}

export interface CgroupRoot {
  readonly host: CgroupHost;
  readonly mode: CgroupMode;
  /** Below the mounts. */
  readonly root: string;
  /** What /proc/<pid>/cgroup shows before a task's path: "" but where only a part of the hierarchy is mounted. */
  readonly shownPrefix: string;
  /** An absolute directory to be locked with flock: on v2 that of the root, on v1 that of its first hierarchy. */
  readonly lockDir: string;
  /** Absolute directories of the inits' cgroup. */
  readonly inits: { readonly v2Dir: string | undefined; readonly v1Dirs: readonly string[] };
  /** The limits that cannot be enforced on this host, with the reason. */
  readonly unenforceable: ReadonlyMap<LimitName, string>;
  /** The controllers of tasks' cgroups, by the kernel's names. */
  readonly controllers: readonly string[];
  /** Moves a process into the inits' cgroup, in each hierarchy. */
  moveToInits(pid: number): Promise<void>;
  /** The names of all tasks' cgroups that are there. */
  list(): Promise<readonly string[]>;
  /** The pids of all that is in the inits' cgroup. */
  initPids(): Promise<readonly number[]>;
  /** Kills and removes tasks' cgroups that are not to be kept; resolves to how many there were. */
  sweep(options?: SweepOptions): Promise<number>;
  /** Removes those directories of the root, and of the inits' cgroup, that were made here; what is in use stays. */
  remove(options?: RemoveOptions): Promise<void>;
}

/** Finds the hierarchies, makes the root in each and tries what they can do. Rejects with CgroupsUnusable. */
export async function openCgroupRoot(options: CgroupRootOptions = {}): Promise<CgroupRoot> {
  const { procDir = "/proc", sysBlockDir = "/sys/block" } = options;
  const mounts = await findMounts(procDir);
  const root = options.root ?? (await defaultRoot(mounts));
  if (
    !/^(?:\/[A-Za-z0-9_@:.-]+)+$/.test(root) ||
    root.split("/").some((part) => part === "." || part === "..")
  ) {
    throw new CgroupsUnusable("the cgroup root is not an absolute path of plain names");
  }
  const made: string[] = [];
  try {
    return await open(mounts, root, made, procDir, sysBlockDir);
  } catch (error) {
    await removeMade(made);
    throw error;
  }
}

async function findMounts(procDir: string): Promise<CgroupMounts> {
  const mounts = parseMountinfo(await readText(join(procDir, "self/mountinfo")));
  const v2 = findV2(mounts);
  const controllers =
    v2 === undefined ? undefined : await readTextIfThere(join(v2.dir, "cgroup.controllers"));
  const chosen = chooseMounts(mounts, parseWords(controllers ?? ""));
  if (chosen === undefined) throw new CgroupsUnusable("no cgroup hierarchy is mounted");
  return chosen;
}

async function defaultRoot({ mode, v2, v1 }: CgroupMounts): Promise<string> {
  const hierarchy = mode === "v2" ? v2 : v1.get("memory");
  if (hierarchy === undefined) return DEFAULT_ROOT;
  return (await listNames(join(hierarchy.dir, UNIT_ROOT))).size > 0 ? UNIT_ROOT : DEFAULT_ROOT;
}

async function open(
  mounts: CgroupMounts,
  root: string,
  made: string[],
  procDir: string,
  sysBlockDir: string,
): Promise<CgroupRoot> {
  const rooms = await makeRoot(mounts, root, made);
  const { place, inits } = rooms;
  const stackedMajors = parseStackedMajors((await readTextIfThere(join(procDir, "devices"))) ?? "");
  const hostFacts = { mounts, rooms, sysBlockDir, stackedMajors };
  const { unenforceable, controllers, attach, create } =
    mounts.mode === "v2" ? await openV2(hostFacts) : await openV1(hostFacts);

  const list = async (): Promise<readonly string[]> => {
    const names = await Promise.all(allDirs(place).map(listDirs));
    return [...new Set(names.flat())].filter(isTaskName);
  };
  const sweepOne = async (name: string): Promise<void> => {
    const task = childPlace(place, name);
    await killAll(task);
    await removeAll(task);
  };
  const sweep: CgroupRoot["sweep"] = async ({ keep = new Set() } = {}) => {
    const names = (await list()).filter((name) => !keep.has(name));
    for (const name of names) await sweepOne(name);
    return names.length;
  };
  const checkName = (name: string): void => {
    if (!isTaskName(name)) throw new TypeError("a task's cgroup is named by a UUID in lower case");
  };
  const lockDir = allDirs(place)[0];
  const hierarchy = mounts.mode === "v2" ? mounts.v2 : [...mounts.v1.values()][0];
  if (lockDir === undefined || hierarchy === undefined) throw new CgroupsUnusable("no cgroup can be made");
  return {
    mode: mounts.mode,
    root,
    shownPrefix: hierarchy.root === "/" ? "" : hierarchy.root,
    lockDir: mounts.mode === "v2" ? lockDir : (place.v1Dirs[0] ?? lockDir),
    inits: { v2Dir: inits.v2Dir, v1Dirs: inits.v1Dirs },
    unenforceable,
    controllers,
    host: {
      countsCpuTime: place.v2Dir !== undefined || rooms.dirs.has("cpuacct"),
      async create(name) {
        checkName(name);
        return create(childPlace(place, name));
      },
      attach(name, known) {
        checkName(name);
        return attach(childPlace(place, name), known);
      },
      async sweep(keep) {
        const orphans = (await list()).filter((name) => !keep.has(name));
        // What is left of them is what could not be removed, whatever the reason.
        await forEachAtMost(SWEPT_AT_ONCE, orphans, (name) => sweepOne(name).catch(() => undefined));
        return new Set(await list());
      },
    },
    async moveToInits(pid) {
      await Promise.all(allDirs(inits).map((dir) => writeText(join(dir, "cgroup.procs"), String(pid))));
    },
    list,
    async initPids() {
      const lists = await Promise.all(
        allDirs(inits).map((dir) => readListIfThere(join(dir, "cgroup.procs"))),
      );
      return [...new Set(lists.flatMap((text) => [...parseWords(text ?? "")].map(Number)))];
    },
    sweep,
    async remove({ killInits = false, all = false } = {}) {
      if (killInits) await killAll(inits);
      if (!(await isEmpty(inits))) return;
      await removeMade(all ? [...made, ...allDirs(place), ...allDirs(inits)] : made);
    },
  };
}
