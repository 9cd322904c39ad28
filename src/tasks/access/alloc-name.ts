/**
 * The names of allocs on this host. Each `run` identity has allocs of its own, `<identity>@<alloc_id>`: what another
 * calls by the same alloc_id is another directory, and there is nothing to collide with or to ask after. Admins share
 * theirs, which are named as they are asked for. An alloc_id holds no "@".
 */
import type { Caller } from "./identity.js";

const SEPARATOR = "@";

/** The alloc that a caller means; an identity's name has 64 characters at most, so that it is a file's name. */
export function allocNameFor({ role, identity }: Caller, allocId: string): string {
  return role === "admin" ? allocId : `${identity?.name ?? ""}${SEPARATOR}${allocId}`;
}

/** The `alloc_id` by which it was asked for. */
export function allocIdOf(allocName: string): string {
  return allocName.slice(allocName.indexOf(SEPARATOR) + 1);
}
