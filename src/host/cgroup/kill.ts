/**
 * Killing everything in a cgroup, and removing it.
 *
 * `cgroup.kill` (Linux 5.14, v2) kills a whole tree at once, and what forks meanwhile. Where
 * there is none, the cgroup is frozen, so that nothing forks, each process is killed, and the cgroup
 * is thawed. On v1 a frozen task dies only when thawed, whoever froze it.
 *
 * Source: admin-guide/cgroup-v2.rst, "Core Interface Files"; admin-guide/cgroup-v1/freezer-subsystem.rst.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  errorCode,
  isEmptyList,
  listDirs,
  readListIfThere,
  readTextIfThere,
  removeDir,
  writeTextIfThere,
} from "./files.js";
import { parseProcCgroup } from "./detect.js";
import { parseKeyed } from "./usage.js";

/** Where one cgroup is, in each hierarchy. */
export interface CgroupPlace {
  /** Below the mounts. */
  readonly path: string;
  /** What /proc/<pid>/cgroup may show for it. */
  readonly shown: ReadonlySet<string>;
  readonly v2Dir: string | undefined;
  readonly v1Dirs: readonly string[];
  /** That of v1Dirs which belongs to the freezer. */
  readonly freezerDir: string | undefined;
}

const KILL_TIMEOUT_MS = 30_000;
const FREEZE_TIMEOUT_MS = 100;
const REMOVE_TIMEOUT_MS = 5_000;
const FIRST_DELAY_MS = 1;
const LONGEST_DELAY_MS = 50;
/** cgroup.kill misses only what is in a v1 hierarchy alone; look for that each so many rounds. */
const ROUNDS_OF_CGROUP_KILL = 6;

/** A cgroup could not be emptied, or not removed, in time. */
export class CgroupBusy extends Error {
  readonly code = "CGROUP_BUSY";
  constructor(
    readonly action: "kill" | "remove",
    options?: ErrorOptions,
  ) {
    super(`${action} the cgroup: still in use`, options);
    this.name = "CgroupBusy";
  }
}

/** Every directory of a cgroup. */
export function allDirs(place: CgroupPlace): readonly string[] {
  return place.v2Dir === undefined ? place.v1Dirs : [place.v2Dir, ...place.v1Dirs];
}

/** True: no process is left, in no hierarchy. A directory that is not there is empty. */
export async function isEmpty(place: CgroupPlace): Promise<boolean> {
  const v1 = place.v1Dirs.map((dir) => isEmptyList(join(dir, "cgroup.procs")));
  // cgroup.events, not cgroup.procs: it counts processes that are dying, and those of child cgroups.
  const v2 = place.v2Dir === undefined ? [] : [isUnpopulated(place.v2Dir)];
  return (await Promise.all([...v1, ...v2])).every((empty) => empty);
}

async function isUnpopulated(dir: string): Promise<boolean> {
  const events = await readTextIfThere(join(dir, "cgroup.events"));
  return events === undefined || parseKeyed(events, "populated") === 0n;
}

/**
 * Kills every process in the cgroup, frozen and stopped ones too; resolves once it is empty.
 * Rejects with CgroupBusy after 30 s (a process that can't die).
 */
export async function killAll(place: CgroupPlace): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  let delayMs = FIRST_DELAY_MS;
  for (let round = 1; !(await isEmpty(place)); round++) {
    const killed =
      place.v2Dir !== undefined && (await writeTextIfThere(join(place.v2Dir, "cgroup.kill"), "1"));
    if (killed && round % ROUNDS_OF_CGROUP_KILL !== 0) await thaw(place);
    else await killFrozen(place);
    if (await isEmpty(place)) return;
    if (performance.now() > deadline) throw new CgroupBusy("kill");
    await sleep(delayMs);
    delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS);
  }
}

/** Freezes, kills each process that is provably in the cgroup, and thaws whatever happens. */
async function killFrozen(place: CgroupPlace): Promise<void> {
  try {
    await freeze(place);
    const lists = await Promise.all(allDirs(place).map((dir) => readListIfThere(join(dir, "cgroup.procs"))));
    const pids = new Set(lists.flatMap((list) => (list ?? "").split("\n").filter((line) => line !== "")));
    for (const pid of pids) await killIfHere(place, Number(pid));
  } finally {
    await thaw(place);
  }
}

/**
 * SIGKILL to a process read from cgroup.procs. What could not be frozen may have ended, and
 * its pid been given to another, so its cgroup is read once more. 0 stands for a process that this pid
 * namespace can't see.
 */
async function killIfHere(place: CgroupPlace, pid: number): Promise<void> {
  if (!Number.isSafeInteger(pid) || pid <= 1 || pid === process.pid) return;
  const text = await readListIfThere(`/proc/${pid}/cgroup`).catch(ignoreEnded);
  if (text === undefined || ![...parseProcCgroup(text).values()].some((path) => place.shown.has(path)))
    return;
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    ignoreEnded(error);
  }
}

/** ESRCH: the process has ended, which is what was wanted. */
function ignoreEnded(error: unknown): undefined {
  if (errorCode(error) !== "ESRCH") throw error;
  return undefined;
}

/** Freezes what can be frozen, waiting for it a bounded time: a task in an uninterruptible sleep can't be. */
async function freeze(place: CgroupPlace): Promise<void> {
  const deadline = performance.now() + FREEZE_TIMEOUT_MS;
  const { v2Dir, freezerDir } = place;
  if (v2Dir !== undefined) await writeTextIfThere(join(v2Dir, "cgroup.freeze"), "1");
  if (freezerDir !== undefined) await writeTextIfThere(join(freezerDir, "freezer.state"), "FROZEN");
  while (performance.now() < deadline) {
    const [events, state] = await Promise.all([
      v2Dir === undefined ? undefined : readTextIfThere(join(v2Dir, "cgroup.events")),
      freezerDir === undefined ? undefined : readTextIfThere(join(freezerDir, "freezer.state")),
    ]);
    const v2Frozen = events === undefined || parseKeyed(events, "frozen") !== 0n;
    const v1Frozen = state === undefined || state.trim() === "FROZEN";
    if (v2Frozen && v1Frozen) return;
    await sleep(FIRST_DELAY_MS);
  }
}

async function thaw(place: CgroupPlace): Promise<void> {
  const { v2Dir, freezerDir } = place;
  await Promise.all([
    v2Dir === undefined ? undefined : writeTextIfThere(join(v2Dir, "cgroup.freeze"), "0"),
    freezerDir === undefined ? undefined : writeTextIfThere(join(freezerDir, "freezer.state"), "THAWED"),
  ]);
}

/** False: something is in it, a process or a child cgroup. What is removed already is no error. */
export async function removeIfEmpty(place: CgroupPlace): Promise<boolean> {
  const results = await Promise.allSettled(allDirs(place).map(removeDir));
  const failures = results
    .filter((result) => result.status === "rejected")
    .map((result): unknown => result.reason);
  for (const error of failures) {
    if (!["EBUSY", "ENOTEMPTY"].includes(errorCode(error) ?? "")) throw error;
  }
  return failures.length === 0;
}

/**
 * Removes the cgroup, with the child cgroups that it should not have (whose processes are killed).
 * Resolves when no directory is left; repeating it is fine. Rejects with CgroupBusy when a process of its own stays in it for 5 s.
 */
export async function removeAll(place: CgroupPlace): Promise<void> {
  const deadline = performance.now() + REMOVE_TIMEOUT_MS;
  let delayMs = FIRST_DELAY_MS;
  while (!(await removeIfEmpty(place))) {
    if (performance.now() > deadline) throw new CgroupBusy("remove");
    if (!(await removeChildren(place))) {
      await sleep(delayMs);
      delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS);
    }
  }
}

/** True: there were child cgroups, and they are gone. */
async function removeChildren(place: CgroupPlace): Promise<boolean> {
  const names = new Set((await Promise.all(allDirs(place).map(listDirs))).flat());
  for (const name of names) {
    const child = childPlace(place, name);
    await killAll(child);
    await removeAll(child);
  }
  return names.size > 0;
}

export function childPlace(place: CgroupPlace, name: string): CgroupPlace {
  return {
    path: `${place.path}/${name}`,
    shown: new Set([...place.shown].map((path) => `${path}/${name}`)),
    v2Dir: place.v2Dir === undefined ? undefined : join(place.v2Dir, name),
    v1Dirs: place.v1Dirs.map((dir) => join(dir, name)),
    freezerDir: place.freezerDir === undefined ? undefined : join(place.freezerDir, name),
  };
}
