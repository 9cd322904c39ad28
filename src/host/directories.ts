/** The directories that belong to one daemon: made, checked, locked and marked as its own. */
import { mkdir, open, readFile, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { randomUUID } from "node:crypto";

import { lockDirectory } from "./lock.js";

/** A directory is not fit to be the daemon's. */
export class UnfitDirectory extends Error {
  constructor(directory: string, why: string) {
    super(`${directory} ${why}`);
    this.name = "UnfitDirectory";
  }
}

const STATE_ID_FILE = "id";
/** No alloc id starts with a dot. */
const OWNER_FILE = ".owner";

export interface OwnDirectories {
  /** Names the state directory for good; what is marked with it is this daemon's. */
  readonly stateId: string;
  readonly tasks: string;
  readonly locks: readonly FileHandle[];
}

/** Makes, checks and locks the state and alloc directories. Throws DirectoryHeld or UnfitDirectory. */
export async function openDirectories(
  helper: string,
  stateDir: string,
  allocDir: string,
): Promise<OwnDirectories> {
  await makePrivate(stateDir);
  await makePrivate(allocDir);
  const locks = [await lockDirectory(helper, stateDir)];
  const stateId = await readOrCreate(join(stateDir, STATE_ID_FILE), randomUUID());
  locks.push(await lockDirectory(helper, allocDir));
  const owner = await readOrCreate(join(allocDir, OWNER_FILE), stateId);
  if (owner !== stateId) {
    throw new UnfitDirectory(allocDir, `belongs to the daemon whose state directory has id ${owner}`);
  }
  const tasks = join(stateDir, "tasks");
  await makePrivate(tasks);
  return { stateId, tasks, locks };
}

async function makePrivate(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const found = await stat(directory);
  if (found.uid !== process.geteuid?.()) {
    throw new UnfitDirectory(directory, `belongs to user ${found.uid}, not to the daemon's`);
  }
  if ((found.mode & 0o077) !== 0) {
    throw new UnfitDirectory(directory, "is open to other users: its mode must be 0700");
  }
}

/** The content of a small file, which is created if it is not there. */
async function readOrCreate(path: string, content: string): Promise<string> {
  try {
    const file = await open(path, "wx", 0o600);
    await file.writeFile(`${content}\n`);
    await file.close();
    return content;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return (await readFile(path, "utf8")).trim();
  }
}
