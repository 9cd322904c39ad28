import { statSync } from "node:fs";

import type { ConfigureFields, Resources, StockadeError } from "../../src/client";
import { cgroupPids, limitFiles, onlineCpus, readCgroupFile } from "../support/cgroup-files";
import { failure, TestDaemon, until } from "../support/daemon";
import { exited, exitOf, oomKilled } from "../support/exits";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { expectNothingLeft } from "../support/leftovers";
import { has, HOST, itRequires, SLOW } from "../support/requires";

const MIB = 1n << 20n;
const V2 = HOST.cgroups === "v2";

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

function configure(command: string, ...args: string[]): Promise<string> {
  const request: ConfigureFields = { command, args, mounts: fixtures.mounts };
  return daemon.configure(request);
}

/** A task in the state that a test is for. */
async function task(state: "before Start" | "live"): Promise<string> {
  const id = await configure("/bin/sleep", "1000");
  if (state === "live") await daemon.client.start(id);
  return id;
}

/** A task that has written to this many MiB of memory, and holds them. */
async function taskWithMemory(mib: number): Promise<string> {
  const id = await configure(`${FIXTURES}/touch-memory`, String(mib), "wait");
  await daemon.client.start(id);
  await until(async () => (await daemon.output(id)).stdout === "touched\n");
  return id;
}

/** Expects the values of kernel files; those that this kernel lacks must be said to be optional by a "?". */
function expectFiles(id: string, files: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(files)) {
    const found = readCgroupFile(id, name.replace("?", ""));
    if (found === undefined && name.endsWith("?")) continue;
    expect([name, found]).toEqual([name, value]);
  }
}

interface Row {
  readonly resources: Partial<Resources>;
  readonly v1: Readonly<Record<string, string>>;
  readonly v2: Readonly<Record<string, string>>;
}

const SPACE = 128n * MIB;

/** Each limit, and what the kernel must hold of it then. */
const ROWS: readonly Row[] = [
  {
    resources: { memoryBytes: SPACE },
    v1: {
      "memory.limit_in_bytes": String(SPACE),
      "memory.memsw.limit_in_bytes?": String(SPACE),
      "memory.swappiness": "0",
    },
    v2: { "memory.max": String(SPACE), "memory.swap.max?": "0" },
  },
  {
    resources: { memoryReservationBytes: SPACE },
    v1: { "memory.soft_limit_in_bytes": String(SPACE) },
    v2: { "memory.low": String(SPACE) },
  },
  { resources: { cpuShares: 1024n }, v1: { "cpu.shares": "1024" }, v2: { "cpu.weight": "100" } },
  { resources: { cpuShares: 2n }, v1: { "cpu.shares": "2" }, v2: { "cpu.weight": "1" } },
  { resources: { cpuShares: 256n }, v1: { "cpu.shares": "256" }, v2: { "cpu.weight": "35" } },
  { resources: { cpuShares: 262144n }, v1: { "cpu.shares": "262144" }, v2: { "cpu.weight": "10000" } },
  {
    resources: { cpuMillis: 1500n },
    v1: { "cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000" },
    v2: { "cpu.max": "150000 100000" },
  },
  {
    resources: { cpuMillis: 1n },
    v1: { "cpu.cfs_quota_us": "1000", "cpu.cfs_period_us": "1000000" },
    v2: { "cpu.max": "1000 1000000" },
  },
  { resources: { cpusetCpus: "0" }, v1: { "cpuset.cpus": "0" }, v2: { "cpuset.cpus": "0" } },
  { resources: { pidsMax: 50n }, v1: { "pids.max": "50" }, v2: { "pids.max": "50" } },
];

describe.each(["before Start", "live"] as const)("%s", (state) => {
  for (const row of ROWS) {
    const [[name, value]] = Object.entries(row.resources) as [[keyof Resources, bigint | string]];
    itRequires("cgroups", `${name} of ${value} is what the kernel has, and what is answered`, async () => {
      const id = await task(state);
      const { effective, unenforced } = await daemon.client.limit({ id, resources: row.resources });
      expect(unenforced).toEqual([]);
      expect(effective?.[name]).toEqual(value);
      expectFiles(id, V2 ? row.v2 : row.v1);
      await daemon.client.forceStop(id);
    });
  }

  itRequires("cgroups", "all limits at once, then one alone leaves the others as they are", async () => {
    const id = await task(state);
    const resources = {
      memoryBytes: 64n * MIB,
      memoryReservationBytes: 32n * MIB,
      cpuShares: 512n,
      cpuMillis: 500n,
      cpusetCpus: "0",
      pidsMax: 20n,
    };
    expect((await daemon.client.limit({ id, resources })).effective).toMatchObject(resources);
    const { effective } = await daemon.client.limit({ id, resources: { pidsMax: 30n } });
    expect(effective).toMatchObject({ ...resources, pidsMax: 30n });
    // Raising works as lowering does.
    const raised = { memoryBytes: 256n * MIB, cpuMillis: 2000n };
    expect((await daemon.client.limit({ id, resources: raised })).effective).toMatchObject({
      ...resources,
      pidsMax: 30n,
      ...raised,
    });
    await daemon.client.forceStop(id);
  });

  itRequires("cgroups", "bytes that fill no page are answered as the kernel has rounded them", async () => {
    const id = await task(state);
    const { effective } = await daemon.client.limit({ id, resources: { memoryBytes: 64n * MIB + 5n } });
    const kernel = BigInt(readCgroupFile(id, V2 ? "memory.max" : "memory.limit_in_bytes") ?? 0);
    expect(effective?.memoryBytes).toBe(kernel);
    expect(kernel).toBe(64n * MIB);
    await daemon.client.forceStop(id);
  });

  itRequires(
    "cgroups",
    "a CPU that is not there is refused, and nothing of the request is changed",
    async () => {
      const id = await task(state);
      await daemon.client.limit({ id, resources: { pidsMax: 40n, cpusetCpus: "0" } });
      const before = limitFiles(id);
      const absent = Math.max(...onlineCpus()) + 1000;
      for (const cpusetCpus of [String(absent), `0,${absent}`, `0-${absent}`]) {
        const resources = {
          cpusetCpus,
          pidsMax: 10n,
          memoryBytes: 64n * MIB,
          cpuMillis: 300n,
          cpuShares: 100n,
        };
        const error = await failure(daemon.client.limit({ id, resources }));
        expect(error).toMatchObject({ reason: "LIMIT_REFUSED", field: "resources.cpuset_cpus" });
        expect(limitFiles(id)).toEqual(before);
      }
      await daemon.client.forceStop(id);
    },
  );

  const aboveTheLimit = "the reservation, memory_reservation_bytes, would be more than memory_bytes";
  const crossed: [string, Partial<Resources>, Partial<Resources>, string, string][] = [
    [
      "a reservation above the limit in force",
      { memoryBytes: 64n * MIB },
      { memoryReservationBytes: 65n * MIB },
      "memory_reservation_bytes",
      aboveTheLimit,
    ],
    [
      "a limit below the reservation in force",
      { memoryBytes: 64n * MIB, memoryReservationBytes: 48n * MIB },
      { memoryBytes: 47n * MIB },
      "memory_bytes",
      aboveTheLimit,
    ],
    [
      "a reservation of less than a page",
      {},
      { memoryReservationBytes: 1n },
      "memory_reservation_bytes",
      "it is less than a page",
    ],
  ];
  for (const [what, first, second, field, why] of crossed) {
    itRequires("cgroups", `${what} is refused, and nothing changed`, async () => {
      const id = await task(state);
      await daemon.client.limit({ id, resources: { pidsMax: 20n, ...first } });
      const before = limitFiles(id);
      const error = await failure(daemon.client.limit({ id, resources: { ...second, pidsMax: 10n } }));
      expect(error).toMatchObject({
        code: "INVALID_ARGUMENT",
        reason: "LIMIT_REFUSED",
        field: `resources.${field}`,
        message: `resources.${field} cannot be set: ${why}`,
      });
      expect(limitFiles(id)).toEqual(before);
      await daemon.client.forceStop(id);
    });
  }

  itRequires("cgroups", "limit and reservation together are held against each other alone", async () => {
    const id = await task(state);
    for (const [limit, reservation] of [
      [64n, 48n],
      [32n, 16n],
      [256n, 200n],
    ] as const) {
      const resources = { memoryBytes: limit * MIB, memoryReservationBytes: reservation * MIB };
      const { effective } = await daemon.client.limit({ id, resources });
      expect(effective).toMatchObject(resources);
    }
    await daemon.client.forceStop(id);
  });

  it("what cannot be is INVALID_ARGUMENT, names the field, and changes nothing", async () => {
    const id = await task(state);
    const before = has("cgroups") ? limitFiles(id) : {};
    const cases: [Partial<Resources>, string][] = [
      [{ memoryBytes: 0n }, "resources.memory_bytes"],
      [{ memoryReservationBytes: 0n }, "resources.memory_reservation_bytes"],
      [{ cpuShares: 0n }, "resources.cpu_shares"],
      [{ cpuMillis: 0n }, "resources.cpu_millis"],
      [{ cpusetCpus: "" }, "resources.cpuset_cpus"],
      [{ ioWeight: 0n }, "resources.io_weight"],
      [{ ioWeight: 9n }, "resources.io_weight"],
      [{ ioWeight: 1001n }, "resources.io_weight"],
      [{ pidsMax: 0n }, "resources.pids_max"],
    ];
    for (const [bad, field] of cases) {
      // A limit that could be, beside the one that cannot.
      const good: Partial<Resources> = bad.pidsMax === undefined ? { pidsMax: 7n } : { cpuShares: 7n };
      const request = { id, resources: { ...good, ...bad }, allowUnenforced: true };
      const error = await failure(daemon.client.limit(request));
      expect([field, error.code, error.field]).toEqual([field, "INVALID_ARGUMENT", field]);
    }
    for (const request of [{ id }, { id, resources: {} }]) {
      const error = await failure(daemon.client.limit(request));
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT", field: "resources" });
    }
    expect(has("cgroups") ? limitFiles(id) : {}).toEqual(before);
    await daemon.client.forceStop(id);
  });

  itRequires(["cgroups", "bfq"], "io_weight is what the kernel has, over its whole range", async () => {
    const id = await task(state);
    for (const ioWeight of [10n, 500n, 1000n]) {
      const { effective, unenforced } = await daemon.client.limit({ id, resources: { ioWeight } });
      expect(unenforced).toEqual([]);
      expect(effective?.ioWeight).toBe(ioWeight);
      const files = ["io.bfq.weight", "io.weight", "blkio.bfq.weight"].map(
        (name) => readCgroupFile(id, name) ?? "",
      );
      expect(files.join("\n")).toMatch(new RegExp(`^(default )?${ioWeight}$`, "m"));
    }
    await daemon.client.forceStop(id);
  });

  it("the range of io_weight is named", async () => {
    const id = await task(state);
    const error = await failure(daemon.client.limit({ id, resources: { ioWeight: 1001n } }));
    expect(error.message).toMatch(/io_weight.*\b10\b.*\b1000\b/);
    await daemon.client.forceStop(id);
  });
});

describe("a limit that the host cannot enforce", () => {
  itRequires("plain-user", "is each one for a daemon without cgroups", async () => {
    const id = await task("live");
    const resources = { memoryBytes: 64n * MIB, pidsMax: 10n };
    const error = await failure(daemon.client.limit({ id, resources }));
    expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "UNENFORCEABLE" });
    expect(error.message).toMatch(/memory_bytes.*pids_max/);
    const answer = await daemon.client.limit({ id, resources, allowUnenforced: true });
    expect(answer.effective).toMatchObject({ memoryBytes: undefined, pidsMax: undefined });
    expect(answer.unenforced.map(({ name }) => name).sort()).toEqual(["memory_bytes", "pids_max"]);
    for (const { reason } of answer.unenforced) expect(reason).not.toBe("");
    await daemon.client.forceStop(id);
  });

  itRequires(
    "cgroups",
    "is refused with all that came with it, or reported when that is allowed",
    async () => {
      const id = await task("live");
      const before = limitFiles(id);
      const resources = { ioWeight: 500n, pidsMax: 33n };
      if (has("bfq")) {
        // This host can: then it must.
        const { effective } = await daemon.client.limit({ id, resources });
        expect(effective).toMatchObject(resources);
      } else {
        const error = await failure(daemon.client.limit({ id, resources }));
        expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "UNENFORCEABLE" });
        expect(error.message).toContain("io_weight");
        expect(limitFiles(id)).toEqual(before);
        const answer = await daemon.client.limit({ id, resources, allowUnenforced: true });
        expect(answer.unenforced).toEqual([
          { name: "io_weight", reason: expect.stringMatching(/./) as string },
        ]);
        expect(answer.effective).toMatchObject({ ioWeight: undefined, pidsMax: 33n });
        expect(readCgroupFile(id, "pids.max")).toBe("33");
      }
      await daemon.client.forceStop(id);
    },
  );
});

describe("a memory limit below what the task uses", () => {
  itRequires(
    "cgroups",
    "is MEMORY_IN_USE; the task lives, and no limit of the request is changed",
    async () => {
      const id = await taskWithMemory(64);
      await daemon.client.limit({
        id,
        resources: { memoryBytes: 256n * MIB, pidsMax: 30n, cpuShares: 300n },
      });
      const before = limitFiles(id);
      const pids = cgroupPids(id);
      const resources = {
        memoryBytes: 16n * MIB,
        pidsMax: 10n,
        cpuMillis: 400n,
        cpuShares: 200n,
        cpusetCpus: "0",
      };
      const error = await failure(daemon.client.limit({ id, resources }));
      expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "MEMORY_IN_USE" });
      expect(limitFiles(id)).toEqual(before);
      expect(cgroupPids(id)).toEqual(pids);
      // Nor is there one in force now that was only in the request that failed.
      const { effective } = await daemon.client.limit({ id, resources: { pidsMax: 30n } });
      expect(effective).toMatchObject({ cpuMillis: undefined, cpusetCpus: undefined, cpuShares: 300n });
      expect((await daemon.client.open({ id })).exit).toBeUndefined();
      const { exit } = await daemon.client.forceStop(id);
      expect(exit).toMatchObject({ oomKilled: false });
    },
  );

  itRequires("cgroups", "is the same for a task that had no limit", async () => {
    const id = await taskWithMemory(64);
    const before = limitFiles(id);
    const error = await failure(daemon.client.limit({ id, resources: { memoryBytes: 16n * MIB } }));
    expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "MEMORY_IN_USE" });
    expect(limitFiles(id)).toEqual(before);
    expect(cgroupPids(id)).toHaveLength(1);
    await daemon.client.forceStop(id);
  });

  itRequires("cgroups", "is in force if the kernel can reclaim enough: file pages of a disk", async () => {
    const write = "dd if=/dev/zero of=/local/file bs=1M count=48 conv=fsync 2>/dev/null";
    const id = await configure("/bin/sh", "-c", `${write} && echo written && exec sleep 1000`);
    await daemon.client.start(id);
    await until(async () => (await daemon.output(id)).stdout === "written\n");
    const limited = daemon.client.limit({ id, resources: { memoryBytes: 16n * MIB } });
    // A memory file system's pages cannot go anywhere: its device has major number 0.
    if (statSync(daemon.daemon.directory).dev >> 8 !== 0) {
      expect((await limited).effective).toMatchObject({ memoryBytes: 16n * MIB });
    } else {
      expect(await failure(limited)).toMatchObject({ reason: "MEMORY_IN_USE" });
    }
    const { exit } = await daemon.client.forceStop(id);
    expect(exit).toMatchObject({ oomKilled: false });
  });
});

describe("limits in force", () => {
  itRequires("cgroups", "memory_bytes of 1 MiB is enough for a static program", async () => {
    const id = await configure(`${FIXTURES}/crowd`, "0");
    await daemon.client.limit({ id, resources: { memoryBytes: MIB } });
    await daemon.client.start(id);
    expect(await exitOf(daemon.client, id)).toMatchObject({ ...exited(0), oomKilled: false });
  });

  itRequires("cgroups", "pids_max counts the task's processes, and theirs alone", async () => {
    const exits = await Promise.all(
      [9, 10].map(async (children) => {
        const id = await configure(`${FIXTURES}/crowd`, String(children));
        await daemon.client.limit({ id, resources: { pidsMax: 10n } });
        await daemon.client.start(id);
        return exitOf(daemon.client, id);
      }),
    );
    expect(exits).toMatchObject([exited(0), exited(1)]);
  });

  itRequires("cgroups", "cpu_millis caps the CPU time by the clock's", async () => {
    const id = await configure(`${FIXTURES}/burn`, "500");
    await daemon.client.limit({ id, resources: { cpuMillis: 200n } });
    await daemon.client.start(id);
    const { startedAt, exitedAt, usage } = await exitOf(daemon.client, id);
    const seconds = (time?: { seconds: bigint; nanos: number }): number =>
      Number(time?.seconds ?? NaN) + (time?.nanos ?? NaN) / 1e9;
    const used = seconds(usage?.cpuUser) + seconds(usage?.cpuSystem);
    expect(used).toBeGreaterThan(0.4);
    expect(used / (seconds(exitedAt) - seconds(startedAt))).toBeLessThan(0.3);
  });

  itRequires("cgroups", "cpuset_cpus is where the task may run", async () => {
    const last = String(onlineCpus().at(-1));
    const id = await configure("/bin/grep", "Cpus_allowed_list", "/proc/self/status");
    await daemon.client.limit({ id, resources: { cpusetCpus: last } });
    await daemon.client.start(id);
    await exitOf(daemon.client, id);
    expect((await daemon.output(id)).stdout).toBe(`Cpus_allowed_list:\t${last}\n`);
  });

  itRequires("cgroups", "memory_bytes set live holds from then on", async () => {
    const script = `trap "exec ${FIXTURES}/touch-memory 64" USR1; echo ready; sleep 1000 & wait`;
    const id = await configure("/bin/sh", "-c", script);
    const { pid } = await daemon.client.start(id);
    await until(async () => (await daemon.output(id)).stdout === "ready\n");
    await daemon.client.limit({ id, resources: { memoryBytes: 32n * MIB } });
    process.kill(pid, "SIGUSR1");
    expect(await exitOf(daemon.client, id)).toMatchObject(oomKilled());
  });
});

itRequires(
  "cgroups",
  "ten Limits at once are each set whole, and the last one answers the last state",
  async () => {
    const id = await task("live");
    const wanted = Array.from({ length: 10 }, (_, index) => ({
      memoryBytes: BigInt(64 + index) * MIB,
      pidsMax: BigInt(20 + index),
      cpuMillis: BigInt(100 + 10 * index),
    }));
    const answers = await Promise.all(wanted.map((resources) => daemon.client.limit({ id, resources })));
    expect(answers.map(({ effective }) => effective)).toMatchObject(wanted);
    const last = wanted.find(({ pidsMax }) => String(pidsMax) === readCgroupFile(id, "pids.max"));
    expect(readCgroupFile(id, V2 ? "memory.max" : "memory.limit_in_bytes")).toBe(String(last?.memoryBytes));
    await daemon.client.forceStop(id);
  },
);

itRequires("cgroups", "Limit again and again while a task ends is answered whole, or ENDED", async () => {
  const answers = new Map<string, number>();
  for (let round = 0; round < Math.max(20, 60 / SLOW); round++) {
    const id = await configure("/bin/sleep", String(0.03 * SLOW));
    await daemon.client.start(id);
    let over = false;
    const ended = exitOf(daemon.client, id).finally(() => (over = true));
    const lanes = Array.from({ length: 4 }, async (_lane, lane) => {
      for (let n = 0; !over; n++) {
        const resources = { memoryBytes: BigInt(64 + (n % 7)) * MIB, pidsMax: BigInt(50 + lane) };
        const answer = await daemon.client.limit({ id, resources }).then(
          ({ effective }) => (effective?.memoryBytes === undefined ? "not whole" : "whole"),
          (error: unknown) => {
            const { code, reason, message } = error as StockadeError;
            return `${code} ${reason} ${message}`;
          },
        );
        answers.set(answer, (answers.get(answer) ?? 0) + 1);
      }
    });
    await Promise.all([...lanes, ended]);
  }
  expect([...answers.keys()].sort()).toEqual(["FAILED_PRECONDITION ENDED the task has ended", "whole"]);
});

it("Limit after the end is ENDED", async () => {
  const { id } = await daemon.run("exit 0");
  const error = await failure(daemon.client.limit({ id, resources: { pidsMax: 10n } }));
  expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "ENDED" });
});
