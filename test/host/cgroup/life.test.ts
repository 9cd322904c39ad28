import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { until } from "../../support/daemon";
import { itRequires } from "../../support/requires.js";
import {
  CGROUPS,
  dirsOf,
  endOf,
  firstLineOf,
  join,
  runIn,
  V1_FREEZER,
  V2,
  withRoot,
  withTask,
} from "./support.js";
import { killAll, type CgroupPlace } from "../../../src/host/cgroup/kill.js";
import { spawn } from "node:child_process";

/** What a test reads of a disk, past the page cache. */
const READ_BYTES = 8 * 2 ** 20;

itRequires(
  CGROUPS,
  "create makes a directory in each hierarchy, remove leaves none, and may be repeated",
  () =>
    withTask(async (task) => {
      const dirs = dirsOf(task);
      expect(dirs.length).toBeGreaterThan(0);
      expect(dirs.every((dir) => existsSync(dir) && dir.endsWith(task.path))).toBe(true);
      await task.remove();
      expect(dirs.filter((dir) => existsSync(dir))).toEqual([]);
      await task.remove();
      await task.kill();
      expect(await task.readLimits()).toEqual({});
    }),
);

itRequires(CGROUPS, "create of a name that is taken fails, and leaves the one that has it as it was", () =>
  withRoot(async (root) => {
    const name = randomUUID();
    const task = await root.host.create(name);
    await expect(root.host.create(name)).rejects.toMatchObject({ code: "EEXIST" });
    expect(dirsOf(task).every((dir) => existsSync(dir))).toBe(true);
    // Taken in one hierarchy only: the others are made and removed again.
    const [first, ...others] = dirsOf(task);
    const half = randomUUID();
    mkdirSync(`${first ?? ""}/../${half}`);
    await expect(root.host.create(half)).rejects.toMatchObject({ code: "EEXIST" });
    expect(others.filter((dir) => existsSync(`${dir}/../${half}`))).toEqual([]);
  }),
);

itRequires(CGROUPS, "create refuses a name that is no UUID", () =>
  withRoot(async (root) => {
    for (const name of ["..", "inits", "a/b", ""])
      await expect(root.host.create(name)).rejects.toThrow(TypeError);
  }),
);

itRequires(CGROUPS, "a process can join at once, and /proc shows the task's path in each hierarchy", () =>
  withTask(async (task, root) => {
    const child = spawn("sleep", ["1000"]);
    await once(child, "spawn");
    join(task, child.pid ?? 0);
    const shown = readFileSync(`/proc/${child.pid ?? 0}/cgroup`, "utf8").split("\n");
    expect(shown.filter((line) => line.endsWith(`:${root.shownPrefix}${task.path}`)).length).toBe(
      dirsOf(task).length,
    );
    await task.kill();
    expect(await endOf(child)).toEqual({ code: null, signal: "SIGKILL" });
    await task.remove();
  }),
);

itRequires(
  CGROUPS,
  "kill ends daemonised grandchildren, stopped processes and those that ignore signals",
  () =>
    withTask(async (task) => {
      const child = runIn(
        task,
        `trap '' TERM HUP INT
       (setsid sleep 1000 >/dev/null &)
       sleep 1000 >/dev/null & kill -STOP $!
       echo $!
       while :; do sleep 1; done`,
      );
      const stopped = Number(await firstLineOf(child));
      await until(() => readFileSync(`/proc/${stopped}/stat`, "utf8").includes(") T "));
      await task.kill();
      expect((await endOf(child)).signal).toBe("SIGKILL");
      await task.remove();
      expect(dirsOf(task).filter((dir) => existsSync(dir))).toEqual([]);
    }),
);

itRequires(CGROUPS, "kill wins against a program that goes on forking", () =>
  withTask(async (task) => {
    // A bound that is not reached: a shell that can't fork ends by itself.
    await task.setLimits({ pidsMax: 5000n });
    const child = runIn(task, "echo up; while :; do (sleep 1000 >/dev/null &); done");
    await firstLineOf(child);
    await task.kill();
    await task.remove();
    expect((await endOf(child)).signal).toBe("SIGKILL");
    expect(dirsOf(task).filter((dir) => existsSync(dir))).toEqual([]);
  }),
);

itRequires(V1_FREEZER, "kill ends a task that the v1 freezer holds", () =>
  withTask(async (task) => {
    const child = runIn(task, "echo up; exec sleep 1000");
    await firstLineOf(child);
    const freezer = task.v1Dirs.find((dir) => existsSync(`${dir}/freezer.state`)) ?? "";
    await until(() => {
      writeFileSync(`${freezer}/freezer.state`, "FROZEN"); // once is not always enough
      return readFileSync(`${freezer}/freezer.state`, "utf8").trim() === "FROZEN";
    });
    await task.kill();
    expect((await endOf(child)).signal).toBe("SIGKILL");
  }),
);

itRequires(V2, "kill ends a frozen task on v2", () =>
  withTask(async (task) => {
    const child = runIn(task, "echo up; exec sleep 1000");
    await firstLineOf(child);
    writeFileSync(`${task.v2Dir ?? ""}/cgroup.freeze`, "1");
    await until(() => /^frozen 1$/m.test(readFileSync(`${task.v2Dir ?? ""}/cgroup.events`, "utf8")));
    await task.kill();
    expect((await endOf(child)).signal).toBe("SIGKILL");
  }),
);

itRequires(V1_FREEZER, "without cgroup.kill, kill freezes, kills each process, and thaws", () =>
  withTask(async (task) => {
    const child = runIn(task, "(setsid sleep 1000 >/dev/null &) ; echo up; while :; do sleep 0.01; done");
    await firstLineOf(child);
    const freezerDir = task.v1Dirs.find((dir) => existsSync(`${dir}/freezer.state`));
    const place: CgroupPlace = {
      path: task.path,
      shown: new Set([task.path]),
      v2Dir: undefined,
      v1Dirs: task.v1Dirs,
      freezerDir,
    };
    await killAll(place);
    expect((await endOf(child)).signal).toBe("SIGKILL");
    await task.remove();
  }),
);

itRequires(V1_FREEZER, "without cgroup.kill, a process that /proc shows elsewhere is not killed", () =>
  withTask(async (task, root) => {
    const child = runIn(task, "echo up; exec sleep 1000");
    await firstLineOf(child);
    const pid = String(child.pid ?? 0);
    const place: CgroupPlace = {
      path: "/other",
      shown: new Set(["/other"]),
      v2Dir: undefined,
      v1Dirs: task.v1Dirs,
      freezerDir: undefined,
    };
    const killing = killAll(place);
    // It is in cgroup.procs, yet not where it must be shown; once it has moved away the cgroup is empty.
    await root.moveToInits(Number(pid));
    await killing;
    expect(child.signalCode).toBeNull();
    child.kill("SIGKILL");
    await endOf(child);
  }),
);

itRequires(CGROUPS, "remove takes child cgroups, and what is in them, along", () =>
  withTask(async (task) => {
    for (const dir of dirsOf(task)) {
      mkdirSync(`${dir}/child`);
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        if (existsSync(`${dir}/child/${file}`) && task.v1Dirs.includes(dir))
          writeFileSync(`${dir}/child/${file}`, readFileSync(`${dir}/${file}`));
      }
    }
    const child = spawn("sleep", ["1000"]);
    await once(child, "spawn");
    for (const dir of dirsOf(task)) writeFileSync(`${dir}/child/cgroup.procs`, String(child.pid ?? 0));
    await task.remove();
    expect((await endOf(child)).signal).toBe("SIGKILL");
    expect(dirsOf(task).filter((dir) => existsSync(dir))).toEqual([]);
  }),
);

itRequires(CGROUPS, "usage tells what was used: time, memory, processes", () =>
  withTask(async (task) => {
    const child = runIn(
      task,
      "x=$(head -c 8000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done",
    );
    await endOf(child);
    const usage = await task.readUsage();
    expect((usage.cpuUserUs ?? 0n) + (usage.cpuSystemUs ?? 0n)).toBeGreaterThan(10_000n);
    if (usage.memoryPeakBytes !== undefined) expect(usage.memoryPeakBytes).toBeGreaterThan(8_000_000n);
    if (usage.pidsPeak !== undefined) expect(usage.pidsPeak).toBeGreaterThanOrEqual(2n);
  }),
);

itRequires(CGROUPS, "what is read of a disk is counted, or the count is absent", () =>
  withTask(async (task) => {
    const directory = mkdtempSync(path.join(tmpdir(), "stockade-life-"));
    try {
      const file = path.join(directory, "file");
      writeFileSync(file, Buffer.alloc(READ_BYTES), { flush: true });
      const child = runIn(task, `exec dd if=${file} of=/dev/null bs=1M iflag=direct`);
      const { code } = await endOf(child);
      const { ioReadBytes } = await task.readUsage();
      // A file system without a disk below has major number 0, and may have no direct reads.
      if (statSync(file).dev >> 8 === 0) return;
      expect(code).toBe(0);
      if (ioReadBytes !== undefined) expect(ioReadBytes).toBeGreaterThanOrEqual(READ_BYTES);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }),
);
