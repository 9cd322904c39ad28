import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import { LimitRefused } from "../../../src/tasks/ports.js";
import { sharesToWeight } from "../../../src/host/cgroup/weight.js";
import { MemoryInUse } from "../../../src/tasks/ports.js";
import { itRequires } from "../../support/requires.js";
import {
  CGROUPS,
  endOf,
  fileOf,
  firstLineOf,
  newRootPath,
  runIn,
  V1,
  V2,
  withRoot,
  withTask,
} from "./support.js";
import { openCgroupRoot } from "../../../src/host/cgroup/root.js";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MIB = 1n << 20n;
/** Source: getconf(1). */
const PAGE = BigInt(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" }));

/** Holds this many MiB of anonymous memory, and says so. dd keeps its block. */
const hold = (mib: number): string =>
  `exec sh -c 'x=$(head -c ${mib * 1048576} /dev/zero | tr "\\0" x); echo held; exec sleep 1000 >/dev/null & wait'`;

itRequires(CGROUPS, "a new task has no limits", () =>
  withTask(async (task) => {
    expect(await task.readLimits()).toEqual({});
  }),
);

itRequires(CGROUPS, "every limit that can be enforced is read back from the kernel as it was set", () =>
  withTask(async (task) => {
    const wanted = {
      memoryBytes: 64n * MIB,
      memoryReservationBytes: 32n * MIB,
      cpuShares: 300n,
      cpuMillis: 250n,
      cpusetCpus: "0",
      pidsMax: 12n,
    };
    await task.setLimits(wanted);
    expect(await task.readLimits()).toEqual(wanted);
  }),
);

itRequires(V1, "on v1 the kernel's files hold the limits, and swap is off", () =>
  withTask(async (task) => {
    await task.setLimits({
      memoryBytes: 64n * MIB,
      memoryReservationBytes: 32n * MIB,
      cpuShares: 300n,
      cpuMillis: 250n,
      cpusetCpus: "0",
      pidsMax: 12n,
    });
    const memory = task.v1Dirs.find((dir) => dir.includes("memory")) ?? "";
    expect(fileOf(task, "memory.limit_in_bytes")).toBe(String(64n * MIB));
    expect(fileOf(task, "memory.soft_limit_in_bytes")).toBe(String(32n * MIB));
    expect(fileOf(task, "memory.swappiness")).toBe("0");
    expect([undefined, String(64n * MIB)]).toContain(fileOf(task, "memory.memsw.limit_in_bytes"));
    expect(memory).not.toBe("");
    expect(fileOf(task, "cpu.shares")).toBe("300");
    expect(fileOf(task, "cpu.cfs_quota_us")).toBe("25000");
    expect(fileOf(task, "cpuset.cpus")).toBe("0");
    expect(fileOf(task, "pids.max")).toBe("12");
  }),
);

itRequires(V2, "on v2 the kernel's files hold the limits, and swap is off", () =>
  withTask(async (task) => {
    await task.setLimits({
      memoryBytes: 64n * MIB,
      memoryReservationBytes: 32n * MIB,
      cpuShares: 300n,
      cpuMillis: 250n,
      cpusetCpus: "0",
      pidsMax: 12n,
    });
    expect(fileOf(task, "memory.max")).toBe(String(64n * MIB));
    expect(fileOf(task, "memory.low")).toBe(String(32n * MIB));
    expect(fileOf(task, "memory.high")).toBe("max");
    expect([undefined, "0"]).toContain(fileOf(task, "memory.swap.max"));
    expect(fileOf(task, "cpu.weight")).toBe(String(sharesToWeight(300n)));
    expect(fileOf(task, "cpu.max")).toBe("25000 100000");
    expect(fileOf(task, "cpuset.cpus")).toBe("0");
    expect(fileOf(task, "pids.max")).toBe("12");
  }),
);

itRequires(CGROUPS, "a limit that was not named stays, and each can be raised and lowered again", () =>
  withTask(async (task) => {
    await task.setLimits({ memoryBytes: 64n * MIB, pidsMax: 12n, cpuMillis: 5n });
    await task.setLimits({ memoryBytes: 256n * MIB });
    await task.setLimits({ cpuMillis: 2000n });
    expect(await task.readLimits()).toEqual({ memoryBytes: 256n * MIB, pidsMax: 12n, cpuMillis: 2000n });
    await task.setLimits({ memoryBytes: 16n * MIB, cpuMillis: 1n });
    expect(await task.readLimits()).toEqual({ memoryBytes: 16n * MIB, pidsMax: 12n, cpuMillis: 1n });
  }),
);

itRequires(CGROUPS, "a default that was asked for is reported, one that was not is none", () =>
  withTask(async (task) => {
    await task.setLimits({ cpuShares: 1024n });
    expect(await task.readLimits()).toEqual({ cpuShares: 1024n });
  }),
);

itRequires(CGROUPS, "what the kernel rounds down to a page is reported rounded", () =>
  withTask(async (task) => {
    await task.setLimits({ memoryBytes: 10n * MIB + 1n });
    expect((await task.readLimits()).memoryBytes).toBe(10n * MIB);
  }),
);

itRequires(CGROUPS, "a reservation of less than a page, which would be none, is refused", () =>
  withTask(async (task) => {
    const before = fileOf(task, "memory.soft_limit_in_bytes") ?? fileOf(task, "memory.low");
    for (const memoryReservationBytes of [1n, PAGE - 1n]) {
      await expect(task.setLimits({ memoryReservationBytes, pidsMax: 5n })).rejects.toMatchObject({
        limit: "memoryReservationBytes",
        errno: "ERANGE",
      });
    }
    expect(fileOf(task, "memory.soft_limit_in_bytes") ?? fileOf(task, "memory.low")).toBe(before);
    expect(await task.readLimits()).toEqual({});
    await task.setLimits({ memoryReservationBytes: PAGE });
    expect(await task.readLimits()).toEqual({ memoryReservationBytes: PAGE });
  }),
);

itRequires(CGROUPS, "CPUs that the host has not are refused, and so is a malformed list", () =>
  withTask(async (task) => {
    for (const cpusetCpus of [String(availableParallelism() + 1000), "0-", "x"]) {
      await expect(task.setLimits({ cpusetCpus, pidsMax: 5n })).rejects.toMatchObject({
        name: "LimitRefused",
        limit: "cpusetCpus",
        errno: "EINVAL",
      });
    }
    expect(await task.readLimits()).toEqual({});
  }),
);

itRequires(CGROUPS, "a value that the kernel refuses changes no limit of the request", () =>
  withTask(async (task) => {
    await task.setLimits({ memoryBytes: 64n * MIB, cpuShares: 300n });
    const refused = task.setLimits({
      memoryBytes: 32n * MIB,
      cpuShares: 500n,
      cpuMillis: 100n,
      pidsMax: 1n << 40n,
    });
    await expect(refused).rejects.toBeInstanceOf(LimitRefused);
    await expect(refused).rejects.toMatchObject({ limit: "pidsMax", errno: "EINVAL" });
    expect(await task.readLimits()).toEqual({ memoryBytes: 64n * MIB, cpuShares: 300n });
  }),
);

itRequires(
  CGROUPS,
  "a reservation above the memory limit is refused, whether that is set before or with it",
  () =>
    withTask(async (task) => {
      const refusal = { limit: "memoryReservationBytes", errno: "EINVAL" };
      await expect(
        task.setLimits({ memoryBytes: MIB, memoryReservationBytes: 2n * MIB }),
      ).rejects.toMatchObject(refusal);
      await task.setLimits({ memoryBytes: MIB });
      await expect(task.setLimits({ memoryReservationBytes: 2n * MIB })).rejects.toMatchObject(refusal);
    }),
);

itRequires(
  CGROUPS,
  "a memory limit below the use is MemoryInUse: the task lives, and no limit has changed",
  () =>
    withTask(async (task) => {
      const child = runIn(task, hold(40));
      await firstLineOf(child);
      await task.setLimits({ memoryBytes: 512n * MIB, pidsMax: 50n });
      const refused = task.setLimits({ memoryBytes: 8n * MIB, pidsMax: 20n });
      await expect(refused).rejects.toBeInstanceOf(MemoryInUse);
      const error: unknown = await refused.catch((reason: unknown) => reason);
      expect(error instanceof MemoryInUse && error.usedBytes > 30n * MIB).toBe(true);
      expect(await task.readLimits()).toEqual({ memoryBytes: 512n * MIB, pidsMax: 50n });
      expect(["max", undefined]).toContain(fileOf(task, "memory.high"));
      expect(await task.readOomKills()).toBe(0);
      expect(child.exitCode).toBeNull();
      expect(child.signalCode).toBeNull();
      await task.kill();
    }),
);

itRequires(CGROUPS, "a first memory limit below the use leaves swap as it was", () =>
  withTask(async (task) => {
    const before = [
      fileOf(task, "memory.swappiness"),
      fileOf(task, "memory.swap.max"),
      fileOf(task, "memory.memsw.limit_in_bytes"),
    ];
    const child = runIn(task, hold(40));
    await firstLineOf(child);
    await expect(task.setLimits({ memoryBytes: 8n * MIB })).rejects.toBeInstanceOf(MemoryInUse);
    expect([
      fileOf(task, "memory.swappiness"),
      fileOf(task, "memory.swap.max"),
      fileOf(task, "memory.memsw.limit_in_bytes"),
    ]).toEqual(before);
    expect(await task.readLimits()).toEqual({});
    await task.kill();
  }),
);

itRequires(
  CGROUPS,
  "a memory limit below the use is met by reclaim where the use is cached files of a disk",
  () =>
    withTask(async (task) => {
      const dir = mkdtempSync(join("/var/tmp", "stockade-test-"));
      try {
        const child = runIn(
          task,
          `dd if=/dev/zero of=${dir}/file bs=1M count=48 2>/dev/null; sync ${dir}/file; echo written; exec sleep 1000`,
        );
        await firstLineOf(child);
        const setting = task.setLimits({ memoryBytes: 16n * MIB });
        // Without swap, files of a tmpfs can't be reclaimed: they count as memory in use.
        const inMemory =
          BigInt(/^shmem (\d+)$/m.exec(fileOf(task, "memory.stat") ?? "")?.[1] ?? 0) > 16n * MIB;
        if (inMemory) await expect(setting).rejects.toBeInstanceOf(MemoryInUse);
        else await setting;
        expect((await task.readLimits()).memoryBytes).toBe(inMemory ? undefined : 16n * MIB);
        expect(child.signalCode).toBeNull();
        expect(await task.readOomKills()).toBe(0);
        await task.kill();
      } finally {
        rmSync(dir, { recursive: true });
      }
    }),
);

itRequires(CGROUPS, "what needs more than the memory limit is killed, and that is counted", () =>
  withTask(async (task) => {
    expect(await task.readOomKills()).toBe(0);
    await task.setLimits({ memoryBytes: 16n * MIB });
    const child = runIn(task, "exec tail /dev/zero");
    expect(await endOf(child)).toEqual({ code: null, signal: "SIGKILL" });
    expect(await task.readOomKills()).toBe(1);
  }),
);

itRequires(CGROUPS, "1 MiB is enough for a small program", () =>
  withTask(async (task) => {
    await task.setLimits({ memoryBytes: MIB });
    const child = runIn(task, "exec true");
    expect(await endOf(child)).toEqual({ code: 0, signal: null });
  }),
);

itRequires(CGROUPS, "pids_max stops what would be one too many", () =>
  withTask(async (task) => {
    await task.setLimits({ pidsMax: 1n });
    const child = runIn(task, "sleep 0; echo never");
    expect((await endOf(child)).code).not.toBe(0);
    expect((await task.readUsage()).pidsPeak ?? 1n).toBe(1n);
  }),
);

itRequires(
  CGROUPS,
  "io_weight is named as not enforceable where no scheduler heeds it, and never reported",
  async () => {
    const sysBlockDir = fakeDisks({ sda: "[none] mq-deadline bfq" });
    const root = await openCgroupRoot({ root: newRootPath(), sysBlockDir });
    try {
      const task = await root.host.create(randomUUID());
      const reasons = task.unenforceable({ ioWeight: 100n, pidsMax: 10n });
      // iocost may be on, on v2.
      if (reasons.size > 0) {
        expect([...reasons.keys()]).toEqual(["ioWeight"]);
        expect(await task.readLimits()).toEqual({});
      }
      expect(task.unenforceable({ pidsMax: 10n }).size).toBe(0);
    } finally {
      await root.sweep();
      await root.remove();
      rmSync(sysBlockDir, { recursive: true });
    }
  },
);

itRequires(CGROUPS, "io_weight reaches bfq's file, as it is, where a disk's scheduler is bfq", async () => {
  const sysBlockDir = fakeDisks({ sda: "none [bfq]" });
  const root = await openCgroupRoot({ root: newRootPath(), sysBlockDir });
  try {
    const task = await root.host.create(randomUUID());
    // The kernel may have no bfq: then it is not enforceable, and says so.
    if (task.unenforceable({ ioWeight: 300n }).size > 0) return;
    await task.setLimits({ ioWeight: 300n });
    expect(await task.readLimits()).toEqual({ ioWeight: 300n });
    expect(fileOf(task, "blkio.bfq.weight") ?? fileOf(task, "io.bfq.weight")).toMatch(/^(?:default )?300$/m);
    await expect(task.setLimits({ ioWeight: 5000n })).rejects.toMatchObject({ limit: "ioWeight" });
  } finally {
    await root.sweep();
    await root.remove();
    rmSync(sysBlockDir, { recursive: true });
  }
});

/** A /sys/block of disks with these schedulers; major 0 is no real device. */
function fakeDisks(schedulers: Readonly<Record<string, string>>): string {
  const dir = mkdtempSync(join(tmpdir(), "stockade-test-"));
  for (const [name, scheduler] of Object.entries(schedulers)) {
    mkdirSync(join(dir, name, "queue"), { recursive: true });
    writeFileSync(join(dir, name, "size"), "2048\n");
    writeFileSync(join(dir, name, "queue/scheduler"), `${scheduler}\n`);
  }
  return dir;
}

itRequires(CGROUPS, "requests at the same time are set one after the other, each whole", () =>
  withTask(async (task) => {
    await Promise.all(
      [1n, 2n, 3n].map((n) =>
        task.setLimits({ memoryBytes: n * 16n * MIB, pidsMax: n, cpuMillis: n * 100n }),
      ),
    );
    expect(await task.readLimits()).toEqual({ memoryBytes: 48n * MIB, pidsMax: 3n, cpuMillis: 300n });
  }),
);

itRequires(CGROUPS, "limits known from a record are reported by a later handle", () =>
  withRoot(async (root) => {
    const name = randomUUID();
    const first = await root.host.create(name);
    await first.setLimits({ cpuShares: 1000n, memoryBytes: 64n * MIB });
    const second = root.host.attach(name, { cpuShares: 1000n });
    expect(await second.readLimits()).toEqual({ cpuShares: 1000n, memoryBytes: 64n * MIB });
  }),
);
