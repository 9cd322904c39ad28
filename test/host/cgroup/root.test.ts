import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { spawn } from "node:child_process";
import { openCgroupRoot } from "../../../src/host/cgroup/root.js";
import { isKernelBefore } from "../../../src/host/kernel.js";
import { itRequires } from "../../support/requires.js";
import { CGROUPS, dirsOf, endOf, firstLineOf, newRootPath, runIn, V2, withRoot } from "./support.js";

itRequires(CGROUPS, "the root goes when it was made here and is empty", async () => {
  const root = await openCgroupRoot({ root: newRootPath() });
  const dirs = dirsOf(root.inits).map((dir) => joinPath(dir, ".."));
  expect(dirs.every((dir) => existsSync(dir))).toBe(true);
  expect(dirs).toContain(root.lockDir);
  await root.remove();
  expect(dirs.filter((dir) => existsSync(dir))).toEqual([]);
  await root.remove();
});

itRequires(CGROUPS, "a root that was there before stays, and so does one with a task in it", async () => {
  const path = newRootPath();
  const first = await openCgroupRoot({ root: path });
  const second = await openCgroupRoot({ root: path });
  const task = await second.host.create(randomUUID());
  await second.remove();
  expect(existsSync(first.lockDir)).toBe(true);
  expect(dirsOf(first.inits).filter((dir) => !existsSync(dir))).toEqual([]);
  await first.remove();
  expect(dirsOf(task).every((dir) => existsSync(dir))).toBe(true);
  await task.remove();
  await first.remove();
  expect(existsSync(first.lockDir)).toBe(false);
});

itRequires(
  CGROUPS,
  "a root several levels down works, and goes with the levels that were made for it",
  async () => {
    const top = newRootPath();
    const root = await openCgroupRoot({ root: `${top}/a/b` });
    const task = await root.host.create(randomUUID());
    await task.setLimits({ pidsMax: 5n, memoryBytes: 16n << 20n, cpusetCpus: "0" });
    expect(await task.readLimits()).toEqual({ pidsMax: 5n, memoryBytes: 16n << 20n, cpusetCpus: "0" });
    await task.remove();
    await root.remove();
    expect(existsSync(joinPath(root.lockDir, "../.."))).toBe(false);
  },
);

it.each(["/", "stockade", "/a/../b", "/a/./b", "/a//b", "/a b", "/a/", "/.."])(
  "root %j is refused",
  async (root) => {
    await expect(openCgroupRoot({ root })).rejects.toMatchObject({ code: "CGROUPS_UNUSABLE" });
  },
);

it("a host without cgroups says so", async () => {
  const procDir = mkdtempSync(joinPath(tmpdir(), "stockade-test-"));
  try {
    mkdirSync(joinPath(procDir, "self"));
    writeFileSync(joinPath(procDir, "self/mountinfo"), "22 27 0:21 / /proc rw - proc proc rw\n");
    await expect(openCgroupRoot({ procDir })).rejects.toMatchObject({
      code: "CGROUPS_UNUSABLE",
      reason: "no cgroup hierarchy is mounted",
    });
  } finally {
    rmSync(procDir, { recursive: true });
  }
});

it("a tree in which no cgroup can be made is unusable", async () => {
  const procDir = mkdtempSync(joinPath(tmpdir(), "stockade-test-"));
  try {
    mkdirSync(joinPath(procDir, "self"));
    writeFileSync(
      joinPath(procDir, "self/mountinfo"),
      `1 2 0:3 / /proc/self/fdinfo rw - cgroup none rw,memory\n`,
    );
    await expect(openCgroupRoot({ procDir, root: "/stockade-test" })).rejects.toMatchObject({
      code: "CGROUPS_UNUSABLE",
    });
  } finally {
    rmSync(procDir, { recursive: true });
  }
});

itRequires(CGROUPS, "sweep kills and removes what a dead daemon left, and keeps what it is told to", () =>
  withRoot(async (root) => {
    const [left, kept] = [randomUUID(), randomUUID()];
    const [leftTask, keptTask] = [await root.host.create(left), await root.host.create(kept)];
    const [leftChild, keptChild] = [
      runIn(leftTask, "echo up; exec sleep 1000"),
      runIn(keptTask, "echo up; exec sleep 1000"),
    ];
    await Promise.all([firstLineOf(leftChild), firstLineOf(keptChild)]);
    expect([...(await root.list())].sort()).toEqual([left, kept].sort());
    expect(await root.host.sweep(new Set([kept]))).toEqual(new Set([kept]));
    expect((await endOf(leftChild)).signal).toBe("SIGKILL");
    expect(keptChild.signalCode).toBeNull();
    expect(await root.list()).toEqual([kept]);
    await root.host.attach(kept, {}).kill();
    expect((await endOf(keptChild)).signal).toBe("SIGKILL");
    expect(await root.sweep()).toBe(1);
    expect(await root.sweep()).toBe(0);
  }),
);

itRequires(CGROUPS, "sweep leaves alone what is not named as a task", () =>
  withRoot(async (root) => {
    const other = joinPath(root.lockDir, "anchor");
    mkdirSync(other);
    try {
      expect(await root.sweep()).toBe(0);
      expect(existsSync(other)).toBe(true);
    } finally {
      rmdirSync(other);
    }
  }),
);

itRequires(CGROUPS, "sweep removes a task of which only one hierarchy has something left", () =>
  withRoot(async (root) => {
    mkdirSync(joinPath(root.lockDir, randomUUID()));
    expect(await root.sweep()).toBe(1);
    expect(await root.list()).toEqual([]);
  }),
);

itRequires(
  CGROUPS,
  "an init is moved in every hierarchy, stays at a sweep, and ends when that is asked for",
  () =>
    withRoot(async (root) => {
      const child = spawn("sleep", ["1000"]);
      await once(child, "spawn");
      const pid = child.pid ?? 0;
      await root.moveToInits(pid);
      const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
      expect(lines.filter((line) => line.endsWith(`${root.root}/inits`)).length).toBe(
        dirsOf(root.inits).length,
      );
      await root.sweep();
      await root.remove();
      expect(child.signalCode).toBeNull();
      await root.remove({ killInits: true });
      expect((await endOf(child)).signal).toBe("SIGKILL");
    }),
);

itRequires(V2, "on v2 every controller that the host has is handed down to the tasks", () =>
  withRoot(async (root) => {
    const task = await root.host.create(randomUUID());
    expect(
      readFileSync(`${task.v2Dir ?? ""}/cgroup.controllers`, "utf8")
        .trim()
        .split(" "),
    ).toEqual(expect.arrayContaining(["cpu", "memory", "pids"]));
    expect([...root.unenforceable.keys()].filter((limit) => limit !== "ioWeight")).toEqual([]);
  }),
);

it.each([
  ["5.15.0-100-generic", true],
  ["6.9.1", true],
  ["6.10.0", false],
  ["6.12.9+deb13", false],
  ["7.0", false],
])("kernel %s is before 6.10: %s", (release, before) => {
  expect(isKernelBefore(6, 10, release)).toBe(before);
});

itRequires(
  V2,
  "below a cgroup with processes in it nothing is limited, which is reported, and tasks are still contained and killed",
  async () => {
    const top = await openCgroupRoot({ root: newRootPath() });
    const daemon = spawn("sleep", ["1000"]);
    await once(daemon, "spawn");
    try {
      // Stands for a daemon whose own cgroup is above its root.
      await top.moveToInits(daemon.pid ?? 0);
      const root = await openCgroupRoot({ root: `${top.root}/inits/tasks` });
      expect([...root.unenforceable.keys()].sort()).toEqual([
        "cpuMillis",
        "cpuShares",
        "cpusetCpus",
        "ioWeight",
        "memoryBytes",
        "memoryReservationBytes",
        "pidsMax",
      ]);
      const task = await root.host.create(randomUUID());
      const child = runIn(task, "echo up; exec sleep 1000");
      await firstLineOf(child);
      expect(await task.readLimits()).toEqual({});
      await task.kill();
      expect((await endOf(child)).signal).toBe("SIGKILL");
      await task.remove();
      await root.remove();
    } finally {
      daemon.kill("SIGKILL");
      await endOf(daemon);
      await top.remove();
    }
  },
);
