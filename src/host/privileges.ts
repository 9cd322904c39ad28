/** As whom the daemon runs, and what follows from it for its tasks. */
import type { Unenforced } from "../tasks/unenforced.js";

export interface Privileges {
  /** False: tasks are in user namespaces, where they see the daemon's own uid alone. */
  readonly root: boolean;
  /** The one user that tasks can have; undefined: any. */
  readonly onlyUser: { readonly uid: number; readonly gid: number } | undefined;
  readonly probeUser: { readonly uid: number; readonly gid: number };
  /** What of every task's containment is not in force. */
  readonly unenforced: readonly Unenforced[];
}

export function planPrivileges(initUid: number): Privileges {
  const uid = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  if (uid === 0) {
    const probeUser = { uid: initUid - 1, gid: initUid - 1 };
    return { root: true, onlyUser: undefined, probeUser, unenforced: [] };
  }
  return {
    root: false,
    onlyUser: { uid, gid },
    probeUser: { uid, gid },
    unenforced: [
      { name: "cgroup", reason: "a plain user's daemon can make no cgroups: no limits, no exact usage" },
      {
        name: "supplementary_groups",
        reason: "a plain user's user namespace keeps the daemon's own supplementary groups",
      },
      { name: "init_uid", reason: "in a user namespace of one user init has the task's own uid" },
    ],
  };
}
