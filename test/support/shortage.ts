/** A daemon's descriptors, processes and cgroups, made few. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

import { findCgroupFile } from "./cgroup-files";
import type { TestDaemon } from "./daemon";

/** Leaves so many of something; what it answers gives back what there was. */
export type Shorten = (daemon: TestDaemon, left: number) => () => void;

/**
 * Of the descriptors that a process may have. None is none, whatever it closes meanwhile; of more it may have some of
 * those too that it has open for the moment. The hard limit stays, to return to.
 */
function descriptorsOf(pid: number, left: number): () => void {
  const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
  const [, before = ""] = /^Max open files +(\d+)/m.exec(limits) ?? [];
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let limit = 0;
  for (let free = 0; free < left; limit++) if (!taken.has(limit)) free++;
  const set = (soft: string): Buffer => execFileSync("prlimit", ["--pid", String(pid), `--nofile=${soft}:`]);
  set(String(limit));
  return () => void set(before);
}

/** Of what a file of the cgroup allows. */
function cgroupFile(path: string, file: string, current: (text: string) => number, counter: string) {
  return (left: number): (() => void) => {
    const [limit, count] = [findCgroupFile(path, file), findCgroupFile(path, counter)];
    if (limit === undefined || count === undefined) throw new Error(`no hierarchy has ${file}`);
    writeFileSync(limit, String(current(readFileSync(count, "utf8")) + left));
    return () => writeFileSync(limit, "max");
  };
}

export const daemonDescriptors: Shorten = (daemon, left) => descriptorsOf(daemon.pid, left);

export const launcherDescriptors: Shorten = (daemon, left) => descriptorsOf(daemon.launcher, left);

/** Those of the launcher and of all inits; the tasks' own are not counted. */
export const initProcesses: Shorten = ({ cgroupRoot }, left) =>
  cgroupFile(`${cgroupRoot}/inits`, "pids.max", Number, "pids.current")(left);

/** Those below the daemon's root in the v2 hierarchy. */
export const cgroups: Shorten = ({ cgroupRoot }, left) =>
  cgroupFile(
    cgroupRoot,
    "cgroup.max.descendants",
    (text) => Number(/^nr_descendants (\d+)$/m.exec(text)?.[1]),
    "cgroup.stat",
  )(left);
