import { mountSpecs, type MountsWanted } from "./chroot-map.js";
import type { AllowedPath } from "./policy.js";
import type { HostPaths, MountSpec } from "./ports.js";

/** Turns what a request says of chroot and mounts into mounts that policy allows. */
export class MountResolver {
  constructor(
    private readonly allowed: readonly AllowedPath[],
    private readonly paths: HostPaths,
  ) {}

  /** Rejects with PATH_FORBIDDEN, or SANDBOX_FAILED for a source that is not there. */
  resolve(wanted: MountsWanted): Promise<readonly MountSpec[]> {
    return mountSpecs(wanted, this.allowed, this.paths);
  }
}
