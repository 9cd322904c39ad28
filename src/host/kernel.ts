import { release } from "node:os";

/** Oldest kernel: mount_setattr(2) is of 5.12, cgroup.kill of 5.14; 5.15 is the first with long support. */
const OLDEST = [5, 15] as const;

/** The kernel is older than what the helper needs. */
export class KernelTooOld extends Error {
  constructor(found: string) {
    super(`Linux ${found} is too old: ${OLDEST.join(".")} or later is needed`);
    this.name = "KernelTooOld";
  }
}

export function checkKernel(found: string = release()): void {
  const [major = 0, minor = 0] = found.split(".").map((part) => Number.parseInt(part, 10));
  const [oldestMajor, oldestMinor] = OLDEST;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw new KernelTooOld(found);
  }
}
