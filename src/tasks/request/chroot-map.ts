/** From a task's chroot and mounts to what is mounted into its root, and in which order. */
import { posix } from "node:path";

import { DEFAULT_CHROOT } from "./default-chroot.js";
import { echo, invalidField, TaskError } from "../errors.js";
import { resolveSource, type AllowedPath } from "./policy.js";
import type { HostPaths, MountSpec } from "../ports.js";
import type { TaskSpec } from "./spec.js";
import { isWithin, reservedAbove } from "./task-path.js";

/** Files of /etc that programs cannot do without and that many hosts have as links out of it. */
const LINKED_FILES = ["resolv.conf", "localtime"];

/** As many links as the kernel follows. Source: path_resolution(7). */
const LINKS_MAX = 40;

export type MountsWanted = Pick<TaskSpec, "chroot" | "chrootMethod" | "mounts">;

/**
 * The mounts of a task's root, parents before what is mounted below them. Every source is a real
 * path, so that whoever opens it need follow no link; what is not there is skipped if it may be.
 * Rejects with PATH_FORBIDDEN, or SANDBOX_FAILED for a source that is not there.
 */
export async function mountSpecs(
  wanted: MountsWanted,
  allowed: readonly AllowedPath[],
  paths: Pick<HostPaths, "realpath" | "readlink">,
): Promise<readonly MountSpec[]> {
  const link = wanted.chrootMethod === "link";
  const asked = [
    ...wanted.chroot.map((entry) => ({
      ...entry,
      field: "chroot",
      asks: wanted.chroot === DEFAULT_CHROOT ? {} : { field: "chroot" },
      readOnly: true,
      optional: true,
      link,
    })),
    ...wanted.mounts.map((mount, index) => ({
      ...mount,
      field: `mounts[${index}].source`,
      asks: { field: `mounts[${index}].target` },
      optional: false,
      link: false,
    })),
  ];
  const found = await Promise.all(
    asked.map(async ({ field, asks, source, target, readOnly, optional, link }) => {
      const real = await resolveSource({ field, source, writable: !readOnly }, allowed, paths);
      if (real !== undefined) return [{ source: real, target, readOnly, optional, link, ...asks }];
      if (optional) return [];
      throw notThere(field, target);
    }),
  );
  const mounts = found.flat();
  const extra = mounts.some(isHostsEtc) ? await linkedFiles(mounts, paths) : [];
  // A path sorts before all that lie below it.
  return [...mounts, ...extra].sort((a, b) => (a.target < b.target ? -1 : 1));
}

/**
 * Throws FIELD_INVALID for a chroot map onto itself: embedded, it would have no end, or be taken away to make room for
 * what is made of it; bound, it would show the task what is other tasks' and the daemon's.
 * @param taskDir the real path of the directory in which the task's root is made
 */
export function checkSources(mounts: readonly MountSpec[], taskDir: string): void {
  const own = mounts.find(
    ({ source, field }) => field === "chroot" && (isWithin(taskDir, source) || isWithin(source, taskDir)),
  );
  if (own === undefined) return;
  const what = `the source of ${echo(own.target)}`;
  throw invalidField("chroot", `chroot: ${what} holds the task's own directory, or lies in it`);
}

function notThere(field: string, target: string): TaskError {
  return new TaskError({
    reason: "SANDBOX_FAILED",
    field,
    message: `cannot mount ${echo(target)}: ENOENT`,
    metadata: { stage: "mount_binds", errno: "ENOENT", target },
  });
}

/** Its links are the administrator's. Those of any other directory could be made to lead past the policy. */
function isHostsEtc({ source, target }: MountSpec): boolean {
  return source === "/etc" && target === "/etc";
}

/**
 * Binds for the files of /etc that are links to what the task's root does not hold: the real file,
 * where the link leads inside the root.
 */
async function linkedFiles(
  mounts: readonly MountSpec[],
  paths: Pick<HostPaths, "realpath" | "readlink">,
): Promise<MountSpec[]> {
  const binds = await Promise.all(
    LINKED_FILES.map(async (name): Promise<MountSpec[]> => {
      const target = await leadsOut(`/etc/${name}`, mounts, paths);
      if (target === undefined || reservedAbove(target) !== undefined) return [];
      const source = await paths.realpath(`/etc/${name}`);
      if (source === undefined) return [];
      return [{ source, target, readOnly: true, optional: true, link: false }];
    }),
  );
  const unique = new Map(binds.flat().map((bind) => [bind.target, bind]));
  return [...unique.values()];
}

/**
 * Follows a path inside the task's root to where it leaves what is mounted there; undefined: it
 * does not, or leads in circles. Beyond that point a path is taken as written.
 */
async function leadsOut(
  path: string,
  mounts: readonly MountSpec[],
  paths: Pick<HostPaths, "readlink">,
): Promise<string | undefined> {
  let directory = "/";
  let rest = path.slice(1).split("/");
  for (let links = 0; links <= LINKS_MAX;) {
    const [part, ...after] = rest;
    if (part === undefined) return undefined;
    const next = posix.join(directory, part);
    rest = after;
    const host = hostPath(next, mounts);
    if (host === undefined) {
      const ancestor = mounts.some((mount) => isWithin(mount.target, next));
      if (!ancestor) return posix.join(next, ...rest);
      directory = next;
      continue;
    }
    const link = host.mounted ? undefined : await paths.readlink(host.path);
    if (link === undefined) {
      directory = next;
      continue;
    }
    links += 1;
    // A link's ".." is taken as written: the host's directories above are the task's too.
    rest = [...posix.resolve(directory, link).split("/").filter(Boolean), ...rest];
    directory = "/";
  }
  return undefined;
}

interface FoundPath {
  readonly path: string;
  /** It is itself a mount, hence no link, whatever its source is on the host. */
  readonly mounted: boolean;
}

/** Where on the host a path of the task's root is. The deepest mount above it counts. */
function hostPath(path: string, mounts: readonly MountSpec[]): FoundPath | undefined {
  const above = mounts.filter(({ target }) => isWithin(path, target));
  const [mount] = above.sort((a, b) => b.target.length - a.target.length);
  if (mount === undefined) return undefined;
  const below = path.slice(mount.target.length);
  return { path: `${mount.source}${below}`, mounted: below === "" };
}
