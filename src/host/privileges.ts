/** As whom the daemon runs, and what follows from it for its tasks. */
import { HelperFault } from "../tasks/ports.js";
import type { Unenforced } from "../tasks/unenforced.js";
import { Launcher } from "./helper/launcher.js";
import type { SandboxDefaults } from "./helper/protocol.js";
import { CannotMapUsers, findSubordinateIds, mapUsers } from "./subordinate-ids.js";

export interface User {
  readonly uid: number;
  readonly gid: number;
}

export interface Privileges {
  /** The one user that tasks can have; undefined: any. */
  readonly onlyUser: User | undefined;
  readonly probeUser: User;
  /** What of every task's containment is not in force. */
  readonly unenforced: readonly Unenforced[];
}

export interface Launched {
  readonly launcher: Launcher;
  /** Starts another one like it. */
  readonly startAnother: () => Promise<Launcher>;
  readonly privileges: Privileges;
}

type Defaults = Omit<SandboxDefaults, "users">;

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** Tasks may have any of the host's users. */
export async function launchAsRoot(
  helper: string,
  defaults: Defaults,
  join: (pid: number) => Promise<void>,
): Promise<Launched> {
  const start = (): Promise<Launcher> => Launcher.start(helper, { ...defaults, users: "host" }, join);
  const probeUser = { uid: defaults.initUid - 1, gid: defaults.initUid - 1 };
  const privileges = { onlyUser: undefined, probeUser, unenforced: [] };
  return { launcher: await start(), startAnother: start, privileges };
}

/** Tasks have the daemon's own user; their inits have another if this host gives the daemon's user one. */
export async function launchAsPlainUser(helper: string, defaults: Defaults): Promise<Launched> {
  const user = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const launch = async (
    start: () => Promise<Launcher>,
    unenforced: readonly Unenforced[],
  ): Promise<Launched> => ({
    launcher: await start(),
    startAnother: start,
    privileges: {
      onlyUser: user,
      probeUser: user,
      unenforced: [
        { name: "cgroup", reason: "a plain user's daemon can make no cgroups: no limits, no exact usage" },
        ...unenforced,
      ],
    },
  });
  try {
    const ids = await findSubordinateIds();
    const place = (pid: number): Promise<void> => mapUsers(pid, defaults.initUid, ids);
    return await launch(() => Launcher.start(helper, { ...defaults, users: "launcher" }, place), []);
  } catch (error) {
    if (!(error instanceof CannotMapUsers || error instanceof HelperFault)) throw error;
    const why = error.message;
    return launch(
      () => Launcher.start(helper, { ...defaults, users: "own" }, () => Promise.resolve()),
      [
        { name: "supplementary_groups", reason: `tasks keep the daemon's own: ${why}` },
        { name: "init_uid", reason: `init has the task's own uid: ${why}` },
      ],
    );
  }
}
