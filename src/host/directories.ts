/** The directories that belong to one daemon: checked, made, locked and marked as its own. */
import type { Stats } from "node:fs";
import { lstat, mkdir, readdir, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { randomUUID } from "node:crypto";

import { isWithin } from "../tasks/request/task-path.js";
import { lockDirectory } from "./lock.js";
import { readMark, writeMark } from "./marks.js";

/** A directory is not fit to be the daemon's. */
export class UnfitDirectory extends Error {
  constructor(directory: string, why: string) {
    super(`${directory} ${why}`);
    this.name = "UnfitDirectory";
  }
}

const STATE_ID_FILE = "id";
const TASKS_DIR = "tasks";
/** No alloc id starts with a dot. */
const OWNER_FILE = ".owner";

export interface OwnDirectories {
  /** Names the state directory for good; what is marked with it is this daemon's. */
  readonly stateId: string;
  readonly tasks: string;
  readonly locks: readonly FileHandle[];
}

/**
 * Checks, makes and locks the state and alloc directories. Throws DirectoryHeld, UnfitDirectory or UnfitMark; of
 * directories that were there nothing has changed then, and none has been made.
 */
export async function openDirectories(
  helper: string,
  stateDir: string,
  allocDir: string,
): Promise<OwnDirectories> {
  const tasks = join(stateDir, TASKS_DIR);
  // An alloc id would name what is the daemon's; and records of tasks are swept.
  if (isWithin(stateDir, allocDir) || isWithin(allocDir, tasks)) {
    throw new UnfitDirectory(
      allocDir,
      `cannot hold alloc directories: the records in ${stateDir} are in the way`,
    );
  }
  const lockable = [stateDir, allocDir];
  const there = new Set<string>();
  for (const directory of [...lockable, tasks]) if (await isThere(directory)) there.add(directory);
  const locks: FileHandle[] = [];
  try {
    for (const directory of lockable.filter((path) => there.has(path))) {
      locks.push(await lockDirectory(helper, directory));
    }
    const { stateId } = await readMarks(stateDir, allocDir);
    if (stateId === undefined && there.has(stateDir)) await checkUnused(stateDir, allocDir);
    for (const directory of [...lockable, tasks]) await makePrivate(directory);
    for (const directory of lockable.filter((path) => !there.has(path))) {
      locks.push(await lockDirectory(helper, directory));
    }
    return { stateId: await mark(stateDir, allocDir), tasks, locks };
  } catch (error) {
    await Promise.all(locks.map((lock) => lock.close()));
    throw error;
  }
}

/** What an unmarked state directory may hold: what a file system of its own has, and what a daemon that died has made. */
const UNUSED: readonly string[] = ["lost+found", `${STATE_ID_FILE}.new`];

/** Whatever else is in it is somebody's: what is among the records would be swept. */
async function checkUnused(stateDir: string, allocDir: string): Promise<void> {
  const tasks = join(stateDir, TASKS_DIR);
  const isKnown = (name: string): boolean =>
    UNUSED.includes(name) || [tasks, allocDir].some((path) => isWithin(path, join(stateDir, name)));
  const others = (await readdir(stateDir)).filter((name) => !isKnown(name));
  const records = (await look(tasks)) === undefined ? [] : await readdir(tasks);
  if (others.length + records.length === 0) return;
  throw new UnfitDirectory(stateDir, "holds what is no daemon's, and no mark of one");
}

interface Marks {
  readonly stateId: string | undefined;
  readonly owner: string | undefined;
}

/** Another daemon's alloc directory is refused. */
async function readMarks(stateDir: string, allocDir: string): Promise<Marks> {
  const stateId = await readMark(join(stateDir, STATE_ID_FILE));
  const owner = await readMark(join(allocDir, OWNER_FILE));
  if (owner !== undefined && owner !== stateId) {
    throw new UnfitDirectory(allocDir, `belongs to the daemon whose state directory has id ${owner}`);
  }
  return { stateId, owner };
}

/** Both are locked: another daemon that has made them at the same time has marked them by now, or never will. */
async function mark(stateDir: string, allocDir: string): Promise<string> {
  const known = await readMarks(stateDir, allocDir);
  const stateId = known.stateId ?? randomUUID();
  if (known.stateId === undefined) await writeMark(join(stateDir, STATE_ID_FILE), stateId);
  if (known.owner === undefined) await writeMark(join(allocDir, OWNER_FILE), stateId);
  return stateId;
}

/** Throws where what is there is not fit. A link is none of the daemon's, and what it leads to may be anybody's. */
async function isThere(directory: string): Promise<boolean> {
  const found = await look(directory);
  if (found === undefined) return false;
  if (found.isSymbolicLink()) throw new UnfitDirectory(directory, "is a symbolic link");
  if (!found.isDirectory()) throw new UnfitDirectory(directory, "is no directory");
  if (found.uid !== process.geteuid?.()) {
    throw new UnfitDirectory(directory, `belongs to user ${found.uid}, not to the daemon's`);
  }
  if ((found.mode & 0o077) !== 0) {
    throw new UnfitDirectory(directory, "is open to other users: its mode must be 0700");
  }
  return true;
}

async function look(directory: string): Promise<Stats | undefined> {
  try {
    return await lstat(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new UnfitDirectory(directory, `cannot be looked at: ${code}`);
  }
}

async function makePrivate(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await isThere(directory);
}
