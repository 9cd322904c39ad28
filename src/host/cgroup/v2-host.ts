/** Finds what a v2 host can do, and makes its tasks' cgroups. */
import { join } from "node:path";
import type { LimitName, Limits } from "../../tasks/limits.js";
import type { TaskCgroup } from "../../tasks/ports.js";
import { V2_CONTROLLERS } from "./detect.js";
import { listNames } from "./files.js";
import type { Facts, Tasks } from "./host-facts.js";
import type { CgroupPlace } from "./kill.js";
import { CgroupsUnusable, makeNew } from "./make-root.js";
import { findIoFacts, NO_IO_WEIGHT, tryLimits, type LimitFile } from "./unenforceable.js";
import { V2Cgroup, type IoWeightFile, type V2Facts } from "./v2.js";

export async function openV2({ mounts, rooms, sysBlockDir, stackedMajors }: Facts): Promise<Tasks> {
  const { place, inits, missing } = rooms;
  const dir = inits.v2Dir;
  if (dir === undefined || place.v2Dir === undefined) throw new CgroupsUnusable("no v2 cgroup can be made");
  const [files, io] = await Promise.all([listNames(dir), findIoFacts(sysBlockDir, mounts.v2?.dir)]);
  const ioWeightFiles: IoWeightFile[] = [];
  if (io.bfq && files.has("io.bfq.weight")) ioWeightFiles.push("io.bfq.weight");
  if (io.iocost && files.has("io.weight")) ioWeightFiles.push("io.weight");
  const limitFile = (limit: LimitName, controller: string, file: string): LimitFile => {
    const reason = missing.get(controller);
    return { limit, controller, dir: reason === undefined ? dir : undefined, missing: reason, file };
  };
  const reasons = new Map(
    await tryLimits([
      limitFile("memoryBytes", "memory", "memory.max"),
      limitFile("memoryReservationBytes", "memory", "memory.low"),
      limitFile("cpuShares", "cpu", "cpu.weight"),
      limitFile("cpuMillis", "cpu", "cpu.max"),
      limitFile("cpusetCpus", "cpuset", "cpuset.cpus"),
      limitFile("ioWeight", "io", ioWeightFiles[0] ?? "io.stat"),
      limitFile("pidsMax", "pids", "pids.max"),
    ]),
  );
  if (missing.has("io")) reasons.set("ioWeight", missing.get("io") ?? NO_IO_WEIGHT);
  else if (ioWeightFiles.length === 0) reasons.set("ioWeight", NO_IO_WEIGHT);
  const swap = files.has("memory.swap.max");
  const facts: V2Facts = {
    reasons,
    swap,
    ioWeightFiles,
    rootCpusFile: join(place.v2Dir, "cpuset.cpus.effective"),
    stackedMajors,
  };
  const attach = (task: CgroupPlace, known: Limits): TaskCgroup => {
    if (task.v2Dir === undefined) throw new CgroupsUnusable("no v2 cgroup can be made");
    return new V2Cgroup({ ...task, v2Dir: task.v2Dir }, facts, known);
  };
  return {
    unenforceable: reasons,
    controllers: V2_CONTROLLERS.filter((controller) => !missing.has(controller)),
    attach,
    async create(task) {
      await makeNew(task);
      return attach(task, {});
    },
  };
}
