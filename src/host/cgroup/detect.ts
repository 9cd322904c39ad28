/**
 * Which cgroup hierarchies this host has, from /proc/self/mountinfo.
 *
 * Source: proc_pid_mountinfo(5); cgroups(7); admin-guide/cgroup-v1/cgroups.rst.
 */

/** The v1 controllers that are used. */
export const V1_CONTROLLERS = ["memory", "cpu", "cpuacct", "cpuset", "blkio", "pids", "freezer"] as const;
export type V1Controller = (typeof V1_CONTROLLERS)[number];

/** The v2 controllers that are used. */
export const V2_CONTROLLERS = ["memory", "cpu", "cpuset", "io", "pids"] as const;

/** v2: all limits on v2. hybrid: limits on v1, `cgroup.kill` and times on an empty v2 tree. */
export type CgroupMode = "v2" | "hybrid" | "v1";

/** A mounted hierarchy. `dir`: absolute. `root`: what of the hierarchy is mounted, as /proc/<pid>/cgroup names it. */
export interface Hierarchy {
  readonly dir: string;
  readonly root: string;
}

export interface CgroupMounts {
  readonly mode: CgroupMode;
  readonly v2: Hierarchy | undefined;
  /** Controllers mounted together share one Hierarchy object. */
  readonly v1: ReadonlyMap<V1Controller, Hierarchy>;
}

/** The usual mount point of everything. */
const USUAL = "/sys/fs/cgroup";

/** One line of mountinfo. */
export interface Mount {
  readonly root: string;
  readonly dir: string;
  readonly fstype: string;
  readonly superOptions: readonly string[];
}

/** mountinfo writes space, tab, newline and backslash as three octal digits. */
function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

/** All cgroup mounts of a mountinfo; lines that are none, or malformed, are left out. */
export function parseMountinfo(text: string): readonly Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split("\n")) {
    // id parent major:minor root dir options [optional fields] - fstype source super-options
    const [before, after] = line.split(" - ");
    if (before === undefined || after === undefined) continue;
    const [, , , root, dir] = before.split(" ");
    const [fstype, , superOptions] = after.split(" ");
    if (root === undefined || dir === undefined || (fstype !== "cgroup" && fstype !== "cgroup2")) continue;
    mounts.push({
      root: unescapePath(root),
      dir: unescapePath(dir),
      fstype,
      superOptions: (superOptions ?? "").split(","),
    });
  }
  return mounts;
}

/** The same hierarchy may be mounted twice: the usual place is preferred, else the first. */
function preferred(mounts: readonly Mount[]): Mount | undefined {
  return mounts.find((mount) => mount.dir === USUAL || mount.dir.startsWith(`${USUAL}/`)) ?? mounts[0];
}

/**
 * The hierarchies to use; undefined when there are none. `v2Controllers`: what the v2 mount's
 * cgroup.controllers lists; a v2 tree without "memory" beside v1 controllers makes the host hybrid.
 */
export function chooseMounts(
  mounts: readonly Mount[],
  v2Controllers: ReadonlySet<string>,
): CgroupMounts | undefined {
  const v2Mount = findV2(mounts);
  const v2 = v2Mount === undefined ? undefined : { dir: v2Mount.dir, root: v2Mount.root };
  const byMount = new Map<Mount, Hierarchy>();
  const v1 = new Map<V1Controller, Hierarchy>();
  for (const controller of V1_CONTROLLERS) {
    const mount = preferred(
      mounts.filter((m) => m.fstype === "cgroup" && m.superOptions.includes(controller)),
    );
    if (mount === undefined) continue;
    const hierarchy = byMount.get(mount) ?? { dir: mount.dir, root: mount.root };
    byMount.set(mount, hierarchy);
    v1.set(controller, hierarchy);
  }
  if (v2 !== undefined && (v1.size === 0 || v2Controllers.has("memory")))
    return { mode: "v2", v2, v1: new Map() };
  if (v1.size === 0) return undefined;
  return { mode: v2 === undefined ? "v1" : "hybrid", v2, v1 };
}

/** The v2 mount to use, if there is one. */
export function findV2(mounts: readonly Mount[]): Mount | undefined {
  return preferred(mounts.filter((mount) => mount.fstype === "cgroup2"));
}

/** A /proc/<pid>/cgroup as hierarchy → path; the key is the v1 controller list, "" for v2. */
export function parseProcCgroup(text: string): ReadonlyMap<string, string> {
  const paths = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) paths.set(match[1], match[2]);
  }
  return paths;
}

/** What /proc/<pid>/cgroup shows for a path below the mount. */
export function shownPath(hierarchy: Hierarchy, path: string): string {
  return hierarchy.root === "/" ? path : hierarchy.root + path;
}

/** A "cpu memory …" file, or a "+"-less list, as a set. */
export function parseWords(text: string): ReadonlySet<string> {
  return new Set(text.split(/\s+/).filter((word) => word !== ""));
}
