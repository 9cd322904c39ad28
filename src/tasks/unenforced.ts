import { TaskError } from "./errors.js";

/** Something asked for, or done by default, that this host cannot enforce. */
export interface Unenforced {
  /** The proto's name of the field, or of the feature. */
  readonly name: string;
  readonly reason: string;
}

/** Why what takes a cgroup cannot be enforced where there is none. */
export const NO_CGROUP = "no cgroup can be made on this host by this daemon";

/** The answer to a request that does not allow it. */
export function unenforceable(unenforced: readonly Unenforced[]): TaskError {
  const names = unenforced.map(({ name }) => name).join(", ");
  return new TaskError({
    reason: "UNENFORCEABLE",
    message: `this host cannot enforce ${names}; allow_unenforced accepts that`,
    metadata: Object.fromEntries(unenforced.map(({ name, reason }) => [name, reason])),
  });
}
