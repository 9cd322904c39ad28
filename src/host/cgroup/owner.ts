/**
 * Whose a cgroup root is: `<root>/state-<id>` names the state directory that it belongs to,
 * by hand to be seen, in every kind of hierarchy. A cgroup takes no files.
 */
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";

import { listDirs } from "./files.js";

const PREFIX = "state-";

/** The cgroup root belongs to another state directory. */
export class ForeignCgroupRoot extends Error {
  constructor(root: string, owner: string) {
    super(`the cgroup root ${root} belongs to the daemon whose state directory has id ${owner}`);
    this.name = "ForeignCgroupRoot";
  }
}

export interface Claim {
  /** An earlier daemon of the same state directory has left its mark: the root is of its making. */
  readonly wasOurs: boolean;
  /** Takes the mark away. */
  release(): Promise<void>;
}

/**
 * Marks the root as the state directory's; to be called with the root locked. Throws
 * ForeignCgroupRoot.
 * @param directory absolute, of the root in one hierarchy
 */
export async function claimRoot(directory: string, root: string, stateId: string): Promise<Claim> {
  const marks = (await listDirs(directory)).filter((name) => name.startsWith(PREFIX));
  const [owner] = marks.map((name) => name.slice(PREFIX.length));
  if (owner !== undefined && owner !== stateId) throw new ForeignCgroupRoot(root, owner);
  const mark = join(directory, `${PREFIX}${stateId}`);
  if (owner === undefined) await mkdir(mark);
  return { wasOurs: owner !== undefined, release: () => rmdir(mark) };
}
