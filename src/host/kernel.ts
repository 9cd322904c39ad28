import { readFile } from "node:fs/promises";
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

/** Throws KernelTooOld. */
export function checkKernel(found: string = release()): void {
  if (isKernelBefore(...OLDEST, found)) throw new KernelTooOld(found);
}

/** "6.8.0-45-generic" before 6.10: true. */
export function isKernelBefore(major: number, minor: number, found: string = release()): boolean {
  const [ourMajor = 0, ourMinor = 0] = found.split(".").map((part) => Number.parseInt(part, 10));
  return ourMajor < major || (ourMajor === major && ourMinor < minor);
}

/** Another one at each boot. Source: random(4). */
export async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}
