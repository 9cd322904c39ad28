import { statSync } from "node:fs";

import type { Usage } from "../../src/client";
import type { Duration } from "../../src/gen/google/protobuf/duration";
import { readCgroupFile } from "../support/cgroup-files";
import { TestDaemon, until, type Ran } from "../support/daemon";
import { died, exited, exitOf } from "../support/exits";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { expectNothingLeft } from "../support/leftovers";
import { has, itRequires } from "../support/requires";

const MIB = 1n << 20n;

let daemon: TestDaemon;
let fixtures: Fixtures;

beforeAll(async () => {
  fixtures = await Fixtures.make("burn", "touch-memory", "crowd");
  daemon = await TestDaemon.start(fixtures.config);
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

function run(script: string): Promise<Ran> {
  return daemon.run(script, { mounts: fixtures.mounts });
}

function usageOf({ exit }: Ran): Usage {
  if (exit.usage === undefined) throw new Error("the exit has no usage");
  return exit.usage;
}

function microseconds(duration: Duration | undefined): number {
  if (duration === undefined) throw new Error("no CPU time was reported");
  return Number(duration.seconds) * 1_000_000 + duration.nanos / 1_000;
}

function cpuMicroseconds(ran: Ran): number {
  const { cpuUser, cpuSystem } = usageOf(ran);
  return microseconds(cpuUser) + microseconds(cpuSystem);
}

describe("CPU time", () => {
  it("is what the task used, within a fifth", async () => {
    const ran = await run(`${FIXTURES}/burn 1000`);
    const burnt = Number(ran.stdout);
    expect(burnt).toBeGreaterThanOrEqual(1_000_000);
    expect(cpuMicroseconds(ran)).toBeGreaterThan(burnt * 0.8);
    expect(cpuMicroseconds(ran)).toBeLessThan(burnt * 1.2 + 300_000);
    expect(microseconds(usageOf(ran).cpuUser)).toBeGreaterThan(0);
  });

  it("has that of children, in the foreground and orphaned", async () => {
    const ran = await run(
      `(${FIXTURES}/burn 300 >/local/orphan &)
       ${FIXTURES}/burn 300; until [ -s /local/orphan ]; do :; done`,
    );
    expect(cpuMicroseconds(ran)).toBeGreaterThan(600_000 * 0.8);
  });

  it("is little for a task that sleeps", async () => {
    const ran = await run("sleep 1");
    expect(cpuMicroseconds(ran)).toBeLessThan(500_000);
  });

  it("is there for a task that was killed", async () => {
    const ran = await run(`${FIXTURES}/burn 300; kill -KILL $$`);
    expect(ran.exit).toMatchObject(died(9));
    expect(cpuMicroseconds(ran)).toBeGreaterThan(300_000 * 0.8);
  });
});

describe("the memory's peak", () => {
  it("is at least what the task had touched at one time", async () => {
    const ran = await run(`exec ${FIXTURES}/touch-memory 64`);
    expect(ran).toMatchObject({ exit: exited(0), stdout: "touched\n" });
    expect(usageOf(ran).memoryPeakBytes).toBeGreaterThanOrEqual(64n * MIB);
  });

  itRequires("cgroups", "is no more than a quarter above it", async () => {
    const ran = await run(`exec ${FIXTURES}/touch-memory 64`);
    expect(usageOf(ran).memoryPeakBytes).toBeLessThanOrEqual(80n * MIB);
  });

  itRequires("cgroups", "is the sum of all processes at one time, not of one after the other", async () => {
    const together = await run(
      `${FIXTURES}/touch-memory 32 wait >/local/a & a=$!
       ${FIXTURES}/touch-memory 32 wait >/local/b & b=$!
       until [ -s /local/a ] && [ -s /local/b ]; do :; done; kill $a $b; wait; exit 0`,
    );
    expect(together.exit).toMatchObject(exited(0));
    expect(usageOf(together).memoryPeakBytes).toBeGreaterThanOrEqual(64n * MIB);
    const inTurn = await run(`${FIXTURES}/touch-memory 32; ${FIXTURES}/touch-memory 32`);
    expect(usageOf(inTurn).memoryPeakBytes).toBeGreaterThanOrEqual(32n * MIB);
    expect(usageOf(inTurn).memoryPeakBytes).toBeLessThan(56n * MIB);
  });

  itRequires("cgroups", "has what the task wrote to its /tmp and /dev/shm", async () => {
    const ran = await run(
      "head -c 16777216 /dev/zero >/tmp/file && head -c 16777216 /dev/zero >/dev/shm/file",
    );
    expect(ran.exit).toMatchObject(exited(0));
    expect(usageOf(ran).memoryPeakBytes).toBeGreaterThanOrEqual(32n * MIB);
  });
});

itRequires(
  "cgroups",
  "the peak of pids is the most that there were, where the kernel counts it",
  async () => {
    const id = await daemon.configure({
      command: `${FIXTURES}/crowd`,
      args: ["20"],
      mounts: fixtures.mounts,
    });
    const counted = readCgroupFile(id, "pids.peak") !== undefined;
    await daemon.client.start(id);
    const exit = await exitOf(daemon.client, id);
    expect(exit).toMatchObject(exited(0));
    expect(exit.usage?.pidsPeak).toBe(counted ? 21n : undefined);
  },
);

describe("I/O", () => {
  /** Bytes, by the kernel's own count of a task that is alive; undefined: it keeps none. */
  function countedByKernel(id: string, key: "rbytes" | "wbytes"): bigint | undefined {
    const stat = readCgroupFile(id, "io.stat");
    if (stat === undefined) return undefined;
    return [...stat.matchAll(new RegExp(`\\b${key}=(\\d+)`, "g"))].reduce(
      (sum, match) => sum + BigInt(match[1] ?? 0),
      0n,
    );
  }

  /** Whether the daemon's directories are on a disk: a memory file system's device has major number 0. */
  function onDisk(): boolean {
    return statSync(daemon.daemon.directory).dev >> 8 !== 0;
  }

  it.each([
    ["with fsync", "conv=fsync"],
    ["directly", "oflag=direct"],
  ])("has what the task wrote %s, or is absent where the kernel doesn't count it", async (_how, flag) => {
    // One that the file system of the task's directory does not have is no way to write.
    const script = `dd if=/dev/zero of=/local/file bs=1M count=8 ${flag} 2>/dev/null || exit 3; echo done; exec sleep 1000`;
    const id = await daemon.configure({ command: "/bin/sh", args: ["-c", script] });
    await daemon.client.start(id);
    let over = false;
    const ended = exitOf(daemon.client, id).then((exit) => {
      over = true;
      return exit;
    });
    await until(async () => over || (await daemon.output(id)).stdout === "done\n");
    const counted = has("cgroups") && !over ? countedByKernel(id, "wbytes") : undefined;
    if (!over) await daemon.client.forceStop(id);
    const { usage, status } = await ended;
    if (status?.$case === "exitCode") {
      expect(status).toMatchObject({ value: 3 });
      expect(onDisk()).toBe(false);
    } else if (counted === undefined) {
      expect(usage?.ioWriteBytes).toBeUndefined();
    } else {
      expect(usage?.ioWriteBytes).toBeGreaterThanOrEqual(counted);
      if (onDisk()) expect(usage?.ioWriteBytes).toBeGreaterThanOrEqual(8n * MIB);
      // Once, and not with each layer below.
      expect(usage?.ioWriteBytes).toBeLessThan(16n * MIB);
    }
  });

  itRequires("cgroups", "has what the task read directly, where its directory is on a disk", async () => {
    const ran = await run(
      `dd if=/dev/zero of=/local/file bs=1M count=8 conv=fsync 2>/dev/null &&
       dd if=/local/file of=/dev/null bs=1M iflag=direct 2>/dev/null`,
    );
    const { ioReadBytes } = usageOf(ran);
    if (onDisk()) {
      expect(ran.exit).toMatchObject(exited(0));
      expect(ioReadBytes).toBeGreaterThanOrEqual(8n * MIB);
    } else {
      expect([undefined, 0n]).toContain(ioReadBytes);
    }
  });
});

it("no usage of a task that never ran is more than next to nothing", async () => {
  const id = await daemon.configure({ command: "/bin/true" });
  const { exit } = await daemon.client.forceStop(id);
  expect(exit?.usage?.memoryPeakBytes ?? 0n).toBeLessThan(16n * MIB);
  expect(exit?.usage?.ioWriteBytes ?? 0n).toBe(0n);
});
