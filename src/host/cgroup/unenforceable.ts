/**
 * Which limits this host can't enforce, and why: found once, by trying, in a cgroup made for it.
 *
 * Reasons are words for the client: they name controllers and kernel files, never a path of the host.
 */
import { join } from "node:path";
import type { LimitName, Limits } from "../../tasks/limits.js";
import { errorCode, listNames, readText, readTextIfThere, writeText } from "./files.js";

/** A limit's file: the controller it belongs to, its directory (undefined: not to be had, with the reason), and its name. */
export interface LimitFile {
  readonly limit: LimitName;
  readonly controller: string;
  readonly dir: string | undefined;
  readonly missing: string | undefined;
  readonly file: string;
}

/** Writes back what each file holds; a file that is missing or refuses it is a reason. */
export async function tryLimits(files: readonly LimitFile[]): Promise<ReadonlyMap<LimitName, string>> {
  const tried = await Promise.all(files.map(async (file) => [file.limit, await tryLimit(file)] as const));
  return new Map(
    tried.flatMap(([limit, reason]) => (reason === undefined ? [] : [[limit, reason] as const])),
  );
}

async function tryLimit({ controller, dir, missing, file }: LimitFile): Promise<string | undefined> {
  if (dir === undefined) return missing ?? `this host has no ${controller} controller`;
  const path = join(dir, file);
  try {
    const [value] = (await readText(path)).split("\n");
    await writeText(path, value === undefined || value === "" ? "\n" : value);
    return undefined;
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    return code === "ENOENT" ? `this kernel has no ${file}` : `this kernel refuses ${file}: ${code}`;
  }
}

/** What divides the disks' time by weight. */
export interface IoFacts {
  /** Some disk's scheduler is bfq. */
  readonly bfq: boolean;
  /** Some disk has iocost on (v2 alone). */
  readonly iocost: boolean;
}

/**
 * Looks at each disk's scheduler ("none [bfq] kyber") and, on v2, at io.cost.qos ("8:0 enable=1 …"), which
 * only the root cgroup has. A device without a size (an unused loop device) is no disk.
 */
export async function findIoFacts(sysBlockDir: string, v2RootDir: string | undefined): Promise<IoFacts> {
  const names = [...(await listNames(sysBlockDir))];
  const schedulers = await Promise.all(
    names.map(async (name) => {
      const [size, scheduler] = await Promise.all([
        readTextIfThere(join(sysBlockDir, name, "size")),
        readTextIfThere(join(sysBlockDir, name, "queue/scheduler")),
      ]);
      return Number(size ?? 0) > 0 && (scheduler ?? "").includes("[bfq]");
    }),
  );
  const qos = v2RootDir === undefined ? undefined : await readTextIfThere(join(v2RootDir, "io.cost.qos"));
  return { bfq: schedulers.includes(true), iocost: /^\d+:\d+ .*\benable=1\b/m.test(qos ?? "") };
}

/** "major:minor" of each disk with a size, but those on top of others. */
export async function findDisks(
  sysBlockDir: string,
  stackedMajors: ReadonlySet<string>,
): Promise<readonly string[]> {
  const disks = await Promise.all(
    [...(await listNames(sysBlockDir))].map(async (name) => {
      const [size, dev] = await Promise.all([
        readTextIfThere(join(sysBlockDir, name, "size")),
        readTextIfThere(join(sysBlockDir, name, "dev")),
      ]);
      const device = (dev ?? "").trim();
      return Number(size ?? 0) > 0 && device !== "" && !stackedMajors.has(device.split(":")[0] ?? "")
        ? [device]
        : [];
    }),
  );
  return disks.flat();
}

export const NO_IO_WEIGHT = "no disk's scheduler is bfq, and iocost is off";

/** Those of the host's reasons that concern the limits asked for. */
export function reasonsFor(
  limits: Limits,
  reasons: ReadonlyMap<LimitName, string>,
): ReadonlyMap<LimitName, string> {
  return new Map([...reasons].filter(([limit]) => limits[limit] !== undefined));
}
