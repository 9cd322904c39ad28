import { checkSources, mountSpecs, type MountsWanted } from "./chroot-map.js";
import { DEFAULT_CHROOT } from "./default-chroot.js";
import { refuseOwn, type AllowedPath } from "./policy.js";
import type { HostPaths, MountSpec } from "../ports.js";
import type { TaskSpec } from "./spec.js";

/** How long it is taken as known where the host's system directories are, in milliseconds. */
const KNOWN_MS = 1_000;

export type PlanWanted = MountsWanted & Pick<TaskSpec, "allocId" | "taskName">;

interface Plan {
  readonly until: number;
  readonly mounts: Promise<readonly MountSpec[]>;
}

/**
 * The mounts of tasks' roots. Those of the default chroot alone, which most tasks have, take dozens of looks at
 * links that only an administrator changes: they are looked at once in a while, and not for each task.
 */
export class MountPlans {
  private readonly plans = new Map<MountsWanted["chrootMethod"], Plan>();

  constructor(
    private readonly allowed: readonly AllowedPath[],
    private readonly paths: Pick<HostPaths, "realpath" | "readlink" | "taskDirectory" | "ownDirectories">,
  ) {}

  /** As mountSpecs, and rejects with FIELD_INVALID as checkSources, with PATH_FORBIDDEN as refuseOwn. */
  async of(wanted: PlanWanted): Promise<readonly MountSpec[]> {
    const isDefault = wanted.chroot === DEFAULT_CHROOT;
    if (isDefault && wanted.mounts.length === 0) return this.ofDefault(wanted);
    const mounts = await this.look(wanted);
    if (!isDefault) checkSources(mounts, await this.paths.taskDirectory(wanted.allocId, wanted.taskName));
    refuseOwn(mounts, await this.paths.ownDirectories());
    return mounts;
  }

  private ofDefault(wanted: MountsWanted): Promise<readonly MountSpec[]> {
    const now = performance.now();
    const known = this.plans.get(wanted.chrootMethod);
    if (known !== undefined && now < known.until) return known.mounts;
    const mounts = this.look(wanted);
    this.plans.set(wanted.chrootMethod, { until: now + KNOWN_MS, mounts });
    return mounts;
  }

  private look(wanted: MountsWanted): Promise<readonly MountSpec[]> {
    return mountSpecs(wanted, this.allowed, this.paths);
  }
}
