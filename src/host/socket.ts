/** The file of a unix socket. */
import { chmod, lchown, lstat, mkdir, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";

/** Another process listens on the socket. */
export class SocketInUse extends Error {
  constructor(path: string) {
    super(`another process listens on ${path}`);
    this.name = "SocketInUse";
  }
}

/** Where the socket should be, there is something else. */
export class NotASocket extends Error {
  constructor(path: string) {
    super(`${path} is there and is no socket`);
    this.name = "NotASocket";
  }
}

/** Makes way for a socket: its directory, and no file of a dead daemon. Throws SocketInUse or NotASocket. */
export async function clearSocket(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const found = await lstat(path).catch(() => undefined);
  if (found !== undefined && !found.isSocket()) throw new NotASocket(path);
  if (await isAlive(path)) throw new SocketInUse(path);
}

export interface SocketRights {
  /** Undefined: the daemon's own. */
  readonly uid?: number;
  readonly gid?: number;
  readonly mode: number;
}

/**
 * The daemon's umask gave it 0700 at most from its first moment, so that nobody else got in; now it is given to whom
 * it is for, and then opened to its group. Rejects where the daemon's user cannot do that.
 */
export async function giveSocket(path: string, { uid = -1, gid = -1, mode }: SocketRights): Promise<void> {
  // -1 leaves it as it is. Source: chown(2).
  if (uid !== -1 || gid !== -1) await lchown(path, uid, gid);
  await chmod(path, mode);
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      switch (error.code) {
        case "ENOENT":
          resolve(false);
          return;
        case "ECONNREFUSED":
          unlink(path).then(() => resolve(false), reject);
          return;
        default:
          reject(error);
      }
    });
  });
}
