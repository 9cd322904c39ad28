/** Finds what a v1 or hybrid host can do, and makes its tasks' cgroups. */
import { join } from "node:path";
import type { LimitName, Limits } from "../../tasks/limits.js";
import type { TaskCgroup } from "../../tasks/ports.js";
import { isKernelBefore } from "../kernel.js";
import type { V1Controller } from "./detect.js";
import { errorCode, listNames, readText, writeText } from "./files.js";
import type { Facts, Tasks } from "./host-facts.js";
import { removeAll, type CgroupPlace } from "./kill.js";
import { fillCpuset, INITS, makeNew } from "./make-root.js";
import { findDisks, findIoFacts, NO_IO_WEIGHT, tryLimits, type LimitFile } from "./unenforceable.js";
import { V1Cgroup, type V1Facts } from "./v1.js";

/** Far above any disk, and not U64_MAX, which would be no rule. Bytes a second. */
const NO_REAL_THROTTLE = 2n ** 63n - 1n;
const THROTTLE_FILES = ["blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device"];

export async function openV1({ rooms, sysBlockDir, stackedMajors }: Facts): Promise<Tasks> {
  const { place, dirs, missing } = rooms;
  const initsDirs = new Map([...dirs].map(([controller, dir]) => [controller, join(dir, INITS)]));
  const filesOf = async (controller: V1Controller): Promise<ReadonlySet<string>> => {
    const dir = initsDirs.get(controller);
    return dir === undefined ? new Set<string>() : listNames(dir);
  };
  const [memoryFiles, blkioFiles, io, disks] = await Promise.all([
    filesOf("memory"),
    filesOf("blkio"),
    findIoFacts(sysBlockDir, undefined),
    findDisks(sysBlockDir, stackedMajors),
  ]);
  const ioWeightFile = blkioFiles.has("blkio.bfq.weight") ? "blkio.bfq.weight" : "blkio.weight";
  const limitFile = (limit: LimitName, controller: V1Controller, file: string): LimitFile => ({
    limit,
    controller,
    dir: initsDirs.get(controller),
    missing: missing.get(controller),
    file,
  });
  const reasons = new Map(
    await tryLimits([
      limitFile("memoryBytes", "memory", "memory.limit_in_bytes"),
      limitFile("memoryReservationBytes", "memory", "memory.soft_limit_in_bytes"),
      limitFile("cpuShares", "cpu", "cpu.shares"),
      limitFile("cpuMillis", "cpu", "cpu.cfs_quota_us"),
      limitFile("cpusetCpus", "cpuset", "cpuset.cpus"),
      limitFile("ioWeight", "blkio", ioWeightFile),
      limitFile("pidsMax", "pids", "pids.max"),
    ]),
  );
  if (!reasons.has("ioWeight") && !io.bfq) reasons.set("ioWeight", NO_IO_WEIGHT);

  // v1 counts a disk's bytes once it has a throttle rule: since Linux 6.10 a rule of any cgroup, before it may have to be
  // the task's own.
  const throttle = async (dir: string): Promise<void> => {
    for (const disk of disks)
      for (const file of THROTTLE_FILES) await writeText(join(dir, file), `${disk} ${NO_REAL_THROTTLE}`);
  };
  const blkioDir = dirs.get("blkio");
  const countsIo = blkioDir !== undefined && disks.length > 0 && (await succeeds(throttle(blkioDir)));
  const eachTask = countsIo && isKernelBefore(6, 10);
  const cpusetDir = dirs.get("cpuset");
  const facts: V1Facts = {
    reasons,
    memsw: memoryFiles.has("memory.memsw.limit_in_bytes"),
    ioWeightFile,
    rootCpusFile: cpusetDir === undefined ? undefined : join(cpusetDir, "cpuset.effective_cpus"),
    countsIo,
    stackedMajors,
  };
  // A sibling's exclusive cpuset keeps the kernel from cloning.
  const fillsCpuset =
    cpusetDir !== undefined && (await readText(join(cpusetDir, "cgroup.clone_children"))).trim() !== "1";
  const attach = (task: CgroupPlace, known: Limits): TaskCgroup => {
    const name = task.path.slice(place.path.length);
    return new V1Cgroup(
      task,
      new Map([...dirs].map(([controller, dir]) => [controller, join(dir, name)])),
      facts,
      known,
    );
  };
  return {
    unenforceable: reasons,
    controllers: [...dirs.keys()],
    attach,
    async create(task) {
      await makeNew(task);
      const name = task.path.slice(place.path.length);
      try {
        if (fillsCpuset) await fillCpuset(cpusetDir, join(cpusetDir, name));
        if (eachTask) await throttle(join(blkioDir, name));
      } catch (error) {
        await removeAll(task);
        throw error;
      }
      return attach(task, {});
    },
  };
}

async function succeeds(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return false;
  }
}
