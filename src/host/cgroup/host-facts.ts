import type { LimitName, Limits } from "../../tasks/limits.js";
import type { TaskCgroup } from "../../tasks/ports.js";
import type { CgroupMounts } from "./detect.js";
import type { CgroupPlace } from "./kill.js";
import type { Made } from "./make-root.js";

/** What is known of the host before its limits are tried. */
export interface Facts {
  readonly mounts: CgroupMounts;
  readonly rooms: Made;
  readonly sysBlockDir: string;
  readonly stackedMajors: ReadonlySet<string>;
}

/** What a host can do with the cgroups of tasks. */
export interface Tasks {
  readonly unenforceable: ReadonlyMap<LimitName, string>;
  /** Those of tasks' cgroups, by the kernel's names. */
  readonly controllers: readonly string[];
  readonly attach: (place: CgroupPlace, known: Limits) => TaskCgroup;
  readonly create: (place: CgroupPlace) => Promise<TaskCgroup>;
}
