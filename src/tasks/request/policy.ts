/** Which paths of the host a task may see. */
import { TaskError } from "../errors.js";
import type { HostPaths, MountSpec } from "../ports.js";
import { isWithin } from "./task-path.js";

/** A path of the host, with all below it, that configuration allows. */
export interface AllowedPath {
  /** Absolute, in shortest form. */
  readonly path: string;
  /** Tasks may also be given it to write. */
  readonly writable: boolean;
}

export interface SourceRequest {
  /** The field that names the source: "chroot", "mounts[2].source". */
  readonly field: string;
  /** Absolute, in shortest form. */
  readonly source: string;
  readonly writable: boolean;
}

/**
 * Resolves a source that is allowed to its real path; undefined: it is not there.
 *
 * Both must be allowed: the path as written, and what it leads to. What is allowed is compared by
 * its real path too: where /lib64 leads to /usr/lib64, who allows the one has allowed the other.
 * Rejects with PERMISSION_DENIED (PATH_FORBIDDEN). Whether a path exists is never told of one that
 * is not allowed.
 */
export async function resolveSource(
  request: SourceRequest,
  allowed: readonly AllowedPath[],
  paths: Pick<HostPaths, "realpath">,
): Promise<string | undefined> {
  const { field, source, writable } = request;
  const rules = allowed.filter((rule) => rule.writable || !writable);
  if (!rules.some((rule) => isWithin(source, rule.path))) throw forbidden(field, writable);
  const real = await paths.realpath(source);
  if (real === undefined) return undefined;
  if (rules.some((rule) => isWithin(real, rule.path))) return real;
  const realRules = await Promise.all(rules.map((rule) => paths.realpath(rule.path)));
  if (!realRules.some((rule) => rule !== undefined && isWithin(real, rule))) {
    throw forbidden(field, writable);
  }
  return real;
}

/**
 * What lies in the daemon's own directories is other tasks' and the daemon's, whatever is allowed around them: their
 * modes keep tasks out, and a mount of what is below is past those. Throws PERMISSION_DENIED (PATH_FORBIDDEN).
 * @param own real paths
 */
export function refuseOwn(mounts: readonly MountSpec[], own: readonly string[]): void {
  const refused = mounts.find(({ source }) => own.some((directory) => isWithin(source, directory)));
  if (refused === undefined) return;
  const { field = "chroot", readOnly } = refused;
  throw forbidden(field.replace(/target$/, "source"), !readOnly);
}

function forbidden(field: string, writable: boolean): TaskError {
  return new TaskError({
    reason: "PATH_FORBIDDEN",
    field,
    message: `${field} is no path that configuration allows tasks to ${writable ? "write" : "see"}`,
  });
}
