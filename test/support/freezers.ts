/** Freezing a task from outside, as the host's root can. */
import { until } from "./daemon";
import { findCgroupFile, readCgroupFile, writeCgroupFile } from "./cgroup-files";
import { has } from "./requires";

/** One for each hierarchy that can; each resolves once every process of the task is frozen. */
export function freezers(cgroupRoot: string): ((id: string) => Promise<void>)[] {
  const v1 = async (id: string): Promise<void> => {
    await until(() => {
      writeCgroupFile(id, "freezer.state", "FROZEN"); // once is not always enough
      return readCgroupFile(id, "freezer.state") === "FROZEN";
    });
  };
  const v2 = async (id: string): Promise<void> => {
    writeCgroupFile(id, "cgroup.freeze", "1");
    await until(() => /^frozen 1$/m.test(readCgroupFile(id, "cgroup.events") ?? ""));
  };
  const there = [...(has("v1-freezer") ? [v1] : [])];
  return findCgroupFile(cgroupRoot, "cgroup.freeze") === undefined ? there : [...there, v2];
}
