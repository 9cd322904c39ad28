/**
 * The users that a plain user's daemon may give its tasks' inits: subuid(5) and subgid(5), mapped by the set-uid
 * programs of newuidmap(1) and newgidmap(1).
 */
import { execFile } from "node:child_process";
import { userInfo } from "node:os";
import { promisify } from "node:util";

import { errorCode, readTextIfThere } from "./cgroup/files.js";
import { parseId } from "./user-database.js";

export interface SubordinateIds {
  /** One of the host's uids, and one of its gids, that belong to the daemon's user. */
  readonly uid: number;
  readonly gid: number;
}

/** No second user can be had; the message says why. */
export class CannotMapUsers extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CannotMapUsers";
  }
}

/** How long newuidmap may take, in milliseconds. */
const MAP_TIMEOUT_MS = 10_000;

/** Throws CannotMapUsers if the daemon's user has none. */
export async function findSubordinateIds(): Promise<SubordinateIds> {
  const { username, uid } = userInfo();
  const [uids, gids] = await Promise.all(
    ["/etc/subuid", "/etc/subgid"].map(async (file) =>
      firstId((await readTextIfThere(file)) ?? "", username, uid),
    ),
  );
  if (uids === undefined || gids === undefined) {
    throw new CannotMapUsers("/etc/subuid and /etc/subgid have no ids for the daemon's user");
  }
  return { uid: uids, gid: gids };
}

/** The first id of a user's first range; lines are `name or uid:first:count`. */
export function firstId(text: string, username: string, uid: number): number | undefined {
  for (const line of text.split("\n")) {
    const [owner, first = "", count = ""] = line.split(":");
    const id = parseId(first);
    if ((owner === username || owner === String(uid)) && id !== undefined && Number(count) >= 1) return id;
  }
  return undefined;
}

/**
 * Gives the user namespace of process `pid` two users: the daemon's own, and `initId`, which stands for the
 * subordinate ids. Throws CannotMapUsers.
 */
export async function mapUsers(pid: number, initId: number, ids: SubordinateIds): Promise<void> {
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  if (initId === own.uid || initId === own.gid) throw new CannotMapUsers("init_uid is the daemon's own");
  await map("newuidmap", pid, own.uid, initId, ids.uid);
  await map("newgidmap", pid, own.gid, initId, ids.gid);
}

async function map(program: string, pid: number, own: number, initId: number, id: number): Promise<void> {
  const args = [pid, own, own, 1, initId, id, 1].map(String);
  try {
    await promisify(execFile)(program, args, { timeout: MAP_TIMEOUT_MS });
  } catch (error) {
    const why = errorCode(error) === "ENOENT" ? "it is not installed" : "it refuses";
    throw new CannotMapUsers(`${program} cannot be used: ${why}`, { cause: error });
  }
}
