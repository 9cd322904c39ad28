/** Who calls, and whom a task belongs to. */

export const ROLES = ["read", "run", "admin"] as const;

/** `read` sees its group's tasks, `run` makes tasks and has its own, `admin` has all. */
export type Role = (typeof ROLES)[number];

/** One that the configuration knows. */
export interface Identity {
  readonly name: string;
  /** Whose `read` identities see its tasks; undefined: nobody's. */
  readonly group: string | undefined;
  readonly role: Role;
}

/** Whom a task belongs to, as its record says; it stays so when the configuration changes. */
export type Owner = Pick<Identity, "name" | "group">;

/** Undefined: the host's own administrator, who has no name. */
export interface Caller {
  readonly role: Role;
  readonly identity: Owner | undefined;
}

/** Whoever may open the unix socket, or reach a port that the operator has opened to everybody on the host. */
export const LOCAL_ADMIN: Caller = Object.freeze({ role: "admin", identity: undefined });

export function callerOf({ name, group, role }: Identity): Caller {
  return { role, identity: { name, group } };
}

export function sameIdentity(one: Identity, other: Identity | undefined): boolean {
  return one.name === other?.name && one.group === other.group && one.role === other.role;
}
