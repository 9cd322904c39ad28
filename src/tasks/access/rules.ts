/** What a role may do, and to which tasks. */
import { TaskError } from "../errors.js";
import type { Caller, Owner, Role } from "./identity.js";

/**
 * What a call does: tells of tasks (`see`), or makes or changes them (`change`). `know`: tells of this daemon and its
 * API, and of no task.
 */
export type Right = "know" | "see" | "change";

const RIGHTS: Readonly<Record<Role, readonly Right[]>> = {
  read: ["know", "see"],
  run: ["know", "see", "change"],
  admin: ["know", "see", "change"],
};

/** Throws PERMISSION_DENIED for what the role may do to no task at all; it is asked before any task is looked for. */
export function checkRight({ role }: Caller, right: Right): void {
  if (RIGHTS[role].includes(right)) return;
  throw new TaskError({
    reason: "ROLE_FORBIDDEN",
    message: `role '${role}' may look at tasks, and not change them`,
    metadata: { role },
  });
}

/** Whether a task of this owner is there for the caller; to all others it is as one that is not. */
export function isThereFor({ role, identity }: Caller, owner: Owner | undefined): boolean {
  switch (role) {
    case "admin":
      return true;
    case "run":
      return owner !== undefined && owner.name === identity?.name;
    case "read":
      return owner?.group !== undefined && owner.group === identity?.group;
  }
}
