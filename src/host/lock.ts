/**
 * Directories that one daemon holds: locked, and marked with the id of its state
 * directory, so that no daemon cleans up what is another's.
 *
 * Node has no flock: the daemon opens the directory, the helper locks the inherited
 * descriptor, and the lock lives as long as the daemon keeps the descriptor (flock(2):
 * a lock belongs to the open file description).
 */
import { spawnSync } from "node:child_process";
import { open, readFile, readdir, readlink, stat, type FileHandle } from "node:fs/promises";

/** Another process holds a directory that this daemon needs. */
export class DirectoryHeld extends Error {
  constructor(directory: string, holder: string) {
    super(`${directory} is held by ${holder}`);
    this.name = "DirectoryHeld";
  }
}

const LOCKED = 0;
const HELD = 1;

/** Locks a directory; the lock is held until the returned handle is closed. Throws DirectoryHeld. */
export async function lockDirectory(helper: string, directory: string): Promise<FileHandle> {
  const handle = await open(directory, "r");
  const result = spawnSync(helper, ["lock"], {
    stdio: ["ignore", "ignore", "inherit", handle.fd],
    cwd: "/",
    env: {},
  });
  if (result.status === LOCKED) return handle;
  await handle.close();
  if (result.status === HELD) throw new DirectoryHeld(directory, await nameHolder(directory));
  throw new Error(`cannot lock ${directory}`, { cause: result.error });
}

/** Names the processes that have the directory open: only a daemon keeps one open. */
async function nameHolder(directory: string): Promise<string> {
  const wanted = await stat(directory);
  const holders: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name))) {
    if (Number(pid) === process.pid || !(await hasOpen(pid, wanted))) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    holders.push(`process ${pid} (${command.split("\0").join(" ").trim()})`);
  }
  return holders.length > 0 ? holders.join(", ") : "a process that cannot be seen from here";
}

async function hasOpen(pid: string, wanted: { dev: number; ino: number }): Promise<boolean> {
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const fd of fds) {
    const path = `/proc/${pid}/fd/${fd}`;
    const target = await readlink(path).catch(() => "");
    if (!target.startsWith("/") || target.startsWith("/dev/")) continue;
    const found = await stat(path).catch(() => undefined);
    if (found?.dev === wanted.dev && found.ino === wanted.ino) return true;
  }
  return false;
}
