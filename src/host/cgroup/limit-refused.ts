import type { LimitName } from "../../tasks/limits.js";

/**
 * The kernel, or its documented rules, refuse the value of a limit: the request is wrong, not
 * the host. Nothing has changed. `errno`: EINVAL, ERANGE, ENOSPC, …
 */
export class LimitRefused extends Error {
  readonly code = "LIMIT_REFUSED";
  constructor(
    readonly limit: LimitName,
    readonly errno: string,
    options?: ErrorOptions,
  ) {
    super(`set '${limit}': ${errno}`, options);
    this.name = "LimitRefused";
  }
}
