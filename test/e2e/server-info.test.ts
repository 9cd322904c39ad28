/** What the daemon tells of itself and its host, held against the host. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statfsSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";

import { CgroupMode } from "../../src/client";
import { VERSION } from "../../src/config/load";
import { isRoot, PROGRAM, SLEEPER, TestDaemon, until } from "../support/daemon";
import { Fixtures } from "../support/fixtures";
import { LIMIT_NAMES } from "../support/limit-names";
import { HOST, has, itRequires } from "../support/requires";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
});

afterAll(() => daemon?.[Symbol.asyncDispose]());

async function capabilities() {
  const { capabilities: found } = await daemon.client.serverInfo();
  if (found === undefined) throw new Error("no capabilities");
  return found;
}

async function resources() {
  const { resources: found } = await daemon.client.serverInfo();
  if (found === undefined) throw new Error("no resources");
  return found;
}

it("tells of the daemon's version and the kernel's", async () => {
  expect((await daemon.client.serverInfo()).version).toBe(VERSION);
  expect((await capabilities()).kernelRelease).toBe(release());
});

it("tells of the cgroups that tasks have", async () => {
  const found = await capabilities();
  if (!has("cgroups")) {
    expect(found).toMatchObject({
      cgroupMode: CgroupMode.CGROUP_MODE_NONE,
      cgroupRoot: "",
      cgroupControllers: [],
    });
    return;
  }
  const mode = HOST.cgroups.toUpperCase() as "V1" | "V2" | "HYBRID";
  expect(found.cgroupMode).toBe(CgroupMode[`CGROUP_MODE_${mode}`]);
  expect(found.cgroupRoot).toBe(daemon.cgroupRoot);
  expect(found.cgroupControllers).toEqual([...found.cgroupControllers].sort());
  expect(found.cgroupControllers).toEqual(expect.arrayContaining(["memory", "pids"]));
});

itRequires("root", "tells of the namespaces that a task has of its own", async () => {
  const { namespaces } = await capabilities();
  const id = await daemon.configure(SLEEPER);
  const { pid } = await daemon.client.start(id);
  const all = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
  const own = all.filter(
    (name) => readlinkSync(`/proc/${pid}/ns/${name}`) !== readlinkSync(`/proc/self/ns/${name}`),
  );
  expect(namespaces).toEqual(own);
  await daemon.client.forceStop(id);
});

it("tells what cannot be enforced, as Configure and Limit do", async () => {
  const { unenforced } = await capabilities();
  for (const { reason } of unenforced) expect(reason).not.toBe("");
  const id = (
    await daemon.client.configure({
      allocId: "a",
      taskName: "one",
      command: "/bin/true",
      allowUnenforced: true,
    })
  ).id;
  const answer = await daemon.client.limit({
    id,
    allowUnenforced: true,
    resources: {
      memoryBytes: 100n << 20n,
      memoryReservationBytes: 10n << 20n,
      cpuShares: 100n,
      cpuMillis: 500n,
      cpusetCpus: "0",
      ioWeight: 100n,
      pidsMax: 10n,
    },
  });
  await daemon.client.forceStop(id);
  expect(unenforced.filter(({ name }) => LIMIT_NAMES.includes(name))).toEqual(
    expect.arrayContaining(answer.unenforced),
  );
  expect(answer.unenforced).toHaveLength(unenforced.filter(({ name }) => LIMIT_NAMES.includes(name)).length);
  if (isRoot()) expect(unenforced.map(({ name }) => name)).not.toContain("init_uid");
});

itRequires("root", "says of idmapped mounts what one made by hand shows", async () => {
  const { idmappedMounts } = await capabilities();
  await using fixtures = await Fixtures.make("try-idmap");
  const program = join(fixtures.directory, "try-idmap");
  const owner = execFileSync(program, [join(daemon.daemon.directory, "alloc")], { encoding: "utf8" });
  expect(owner).toBe(idmappedMounts ? "1000000\n" : "none\n");
});

it("tells how much there is, and how much is in use", async () => {
  const found = await resources();
  const meminfo = readFileSync("/proc/meminfo", "utf8");
  const kib = (name: string): bigint =>
    BigInt(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0) * 1024n;
  expect(found.memoryTotalBytes).toBe(kib("MemTotal"));
  expect(found.memoryAvailableBytes).toBeGreaterThan(0n);
  expect(found.memoryAvailableBytes).toBeLessThan(kib("MemTotal"));
  expect(found.swapTotalBytes).toBe(kib("SwapTotal"));
  expect(found.cpuCount).toBe(Number(execFileSync("nproc")));
  expect(found.cpuModel).toBe(cpus()[0]?.model);
  const { bsize, blocks } = statfsSync(daemon.daemon.directory, { bigint: true });
  expect(found.stateDisk?.totalBytes).toBe(bsize * blocks);
  expect(found.allocDisk?.availableBytes).toBeGreaterThan(0n);
  expect(found.allocDisk?.availableBytes).toBeLessThanOrEqual(bsize * blocks);
  for (const load of [found.loadAverage1m, found.loadAverage5m, found.loadAverage15m]) {
    expect(load).toBeGreaterThanOrEqual(0);
  }
});

it("measures at most every few seconds, however many ask, and anew while they do", async () => {
  const answers = await Promise.all(Array.from({ length: 50 }, () => resources()));
  const times = new Set(answers.map(({ measuredAt }) => measuredAt?.seconds));
  expect(times.size).toBeLessThanOrEqual(2);
  const first = Math.max(...answers.map(({ measuredAt }) => Number(measuredAt?.seconds)));
  expect(first).toBeGreaterThan(Date.now() / 1000 - 31);
  await until(async () => Number((await resources()).measuredAt?.seconds) > first, 20_000);
});

it("starts no program while many ask, and systeminformation is loaded by then", async () => {
  const directory = mkdtempSync(join(tmpdir(), "stockade-spawns-"));
  try {
    const file = join(directory, "spawns");
    const preload = join(__dirname, "../support/record-spawns.js");
    const env = { ...process.env, NODE_OPTIONS: `--require ${preload}`, STOCKADE_TEST_SPAWNS: file };
    await using watched = await TestDaemon.start({}, PROGRAM, env);
    const before = readFileSync(file, "utf8");
    expect(before).toContain("stockade-helper");
    const first = (await watched.client.serverInfo()).resources?.measuredAt?.seconds ?? 0n;
    await until(async () => {
      const answers = Array.from({ length: 20 }, () => watched.client.serverInfo());
      const [info] = await Promise.all(answers);
      await watched.run("true");
      return (info?.resources?.measuredAt?.seconds ?? 0n) > first;
    }, 30_000);
    expect(readFileSync(file, "utf8")).toBe(before);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
