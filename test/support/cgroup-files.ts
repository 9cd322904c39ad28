/** The kernel's own word on a task's cgroup: read by the tests themselves, by the path in the id. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { cgroupMounts } from "./daemon";

/** The path below the cgroup mounts that an id names. */
export function cgroupPath(id: string): string {
  if (!id.startsWith("CGROUP:/")) throw new Error(`${id} names no cgroup`);
  return id.slice("CGROUP:".length);
}

/** Where the file of a cgroup is, in whichever hierarchy has it; undefined: in none. */
export function findCgroupFile(path: string, file: string): string | undefined {
  return cgroupMounts()
    .map((mount) => join(mount, path, file))
    .find((candidate) => existsSync(candidate));
}

/** What a file of the task's cgroup holds; undefined: no hierarchy has such a file. */
export function readCgroupFile(id: string, file: string): string | undefined {
  const path = findCgroupFile(cgroupPath(id), file);
  return path === undefined ? undefined : readFileSync(path, "utf8").trim();
}

export function writeCgroupFile(id: string, file: string, value: string): void {
  const path = findCgroupFile(cgroupPath(id), file);
  if (path === undefined) throw new Error(`no hierarchy has ${file}`);
  writeFileSync(path, value);
}

/** The host's pids of the processes in the task's cgroup. */
export function cgroupPids(id: string): number[] {
  return (readCgroupFile(id, "cgroup.procs") ?? "")
    .split("\n")
    .filter((pid) => pid !== "")
    .map(Number);
}

/** Every limit and counter of the task's cgroup that a Limit could change, for comparing. */
export function limitFiles(id: string): Record<string, string | undefined> {
  const names = [
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.swappiness",
    "cpu.shares",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "cpuset.cpus",
    "blkio.weight",
    "blkio.bfq.weight",
    "memory.max",
    "memory.swap.max",
    "memory.low",
    "memory.high",
    "cpu.weight",
    "cpu.max",
    "io.weight",
    "io.bfq.weight",
    "pids.max",
  ];
  const files = Object.fromEntries(names.map((name) => [name, readCgroupFile(id, name)]));
  // v2: none given is all that there are, and once some were given the kernel takes no "none" again.
  if (files["cpuset.cpus"] === "") files["cpuset.cpus"] = readCgroupFile(id, "cpuset.cpus.effective");
  return files;
}

/** The CPUs of the host that tasks may use. */
export function onlineCpus(): number[] {
  return readdirSync("/sys/devices/system/cpu")
    .filter((name) => /^cpu[0-9]+$/.test(name))
    .map((name) => Number(name.slice("cpu".length)))
    .filter((cpu) => {
      const path = `/sys/devices/system/cpu/cpu${cpu}/online`;
      return !existsSync(path) || readFileSync(path, "utf8").trim() === "1";
    })
    .sort((a, b) => a - b);
}
