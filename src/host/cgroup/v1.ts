/**
 * A task's cgroup on v1 controllers, with or without an empty v2 tree beside them.
 *
 * Source: admin-guide/cgroup-v1/{memory,cpusets,blkio-controller,cpuacct,pids}.rst; scheduler/sched-bwc.rst.
 */
import { join } from "node:path";
import type { Usage } from "../../tasks/exit.js";
import type { LimitName, Limits } from "../../tasks/limits.js";
import { MemoryInUse } from "../../tasks/ports.js";
import type { Changes } from "./changes.js";
import { millisToQuota, quotaToMillis } from "./cpu-quota.js";
import type { V1Controller } from "./detect.js";
import { readText, readTextIfThere } from "./files.js";
import type { CgroupPlace } from "./kill.js";
import { LimitRefused } from "../../tasks/ports.js";
import { HostCgroup } from "./task-cgroup.js";
import { divideCpuTime, parseCount, parseCpuStat, parseKeyed, parseServiceBytesRead } from "./usage.js";
import { parseDefaultWeight, SHARES_DEFAULT, unlessDefault, WEIGHT_DEFAULT } from "./weight.js";

/** What is the same for all tasks of a v1 or hybrid host. */
export interface V1Facts {
  readonly reasons: ReadonlyMap<LimitName, string>;
  /** The memory controller has swap accounting. */
  readonly memsw: boolean;
  readonly ioWeightFile: "blkio.bfq.weight" | "blkio.weight";
  /** The CPUs of the cgroup root: absolute path of its cpuset.cpus. */
  readonly rootCpusFile: string | undefined;
  /** The disks' reads are counted. */
  readonly countsIo: boolean;
  readonly stackedMajors: ReadonlySet<string>;
}

/** "No limit" is LONG_MAX rounded down to a page, whatever the size of a page (at most 64 KiB). */
const UNLIMITED_BYTES = 2n ** 63n - 65536n;

export class V1Cgroup extends HostCgroup {
  override readonly cpuTimeFile: string | undefined;
  readonly #dirs: ReadonlyMap<V1Controller, string>;
  readonly #facts: V1Facts;

  constructor(place: CgroupPlace, dirs: ReadonlyMap<V1Controller, string>, facts: V1Facts, known: Limits) {
    super(place, facts.reasons, known);
    this.#dirs = dirs;
    // As #readCpu: v2's, which every kernel that tasks are run on has.
    const cpuacct = dirs.get("cpuacct");
    if (place.v2Dir !== undefined) this.cpuTimeFile = join(place.v2Dir, "cpu.stat");
    else this.cpuTimeFile = cpuacct === undefined ? undefined : join(cpuacct, "cpuacct.usage");
    this.#facts = facts;
  }

  #file(controller: V1Controller, name: string): string {
    const dir = this.#dirs.get(controller);
    if (dir === undefined) throw new Error(`this host has no ${controller} controller`);
    return join(dir, name);
  }

  /** A file's text; undefined: no such controller, or no such file. */
  async #read(controller: V1Controller, name: string): Promise<string | undefined> {
    const dir = this.#dirs.get(controller);
    return dir === undefined ? undefined : readTextIfThere(join(dir, name));
  }

  protected override async availableCpus(): Promise<string> {
    return this.#facts.rootCpusFile === undefined ? "" : readText(this.#facts.rootCpusFile);
  }

  protected override write(limits: Limits, changes: Changes): readonly Promise<void>[] {
    const writes: Promise<void>[] = [];
    const { memoryBytes, memoryReservationBytes, cpuShares, cpuMillis, cpusetCpus, ioWeight, pidsMax } =
      limits;
    if (memoryBytes !== undefined) writes.push(this.#writeMemory(memoryBytes, changes));
    if (memoryReservationBytes !== undefined) {
      const file = this.#file("memory", "memory.soft_limit_in_bytes");
      writes.push(this.writeReservation(file, memoryReservationBytes, changes));
    }
    if (cpuShares !== undefined)
      writes.push(changes.write("cpuShares", this.#file("cpu", "cpu.shares"), String(cpuShares)));
    if (cpuMillis !== undefined) writes.push(this.#writeQuota(cpuMillis, changes));
    if (cpusetCpus !== undefined)
      writes.push(changes.write("cpusetCpus", this.#file("cpuset", "cpuset.cpus"), cpusetCpus));
    if (ioWeight !== undefined)
      writes.push(changes.write("ioWeight", this.#file("blkio", this.#facts.ioWeightFile), String(ioWeight)));
    if (pidsMax !== undefined)
      writes.push(changes.write("pidsMax", this.#file("pids", "pids.max"), String(pidsMax)));
    return writes;
  }

  /**
   * Swap goes off first, so that reclaim can't make room by swapping. The limit of memory and swap
   * together must never be below that of memory. The kernel reclaims, and answers EBUSY when that is not enough.
   * Its use then counts what each CPU holds in stock for the cgroup; having tried, it has taken that back: what is
   * in use now may fit.
   */
  async #writeMemory(bytes: bigint, changes: Changes): Promise<void> {
    const limitFile = this.#file("memory", "memory.limit_in_bytes");
    const memswFile = this.#file("memory", "memory.memsw.limit_in_bytes");
    const write = (path: string, value: bigint): Promise<void> =>
      changes.write("memoryBytes", path, String(value));
    const used = async (): Promise<bigint> =>
      parseCount(await readText(this.#file("memory", "memory.usage_in_bytes"))) ?? 0n;
    try {
      const [memsw] = await Promise.all([
        this.#facts.memsw ? readText(memswFile) : undefined,
        write(this.#file("memory", "memory.swappiness"), 0n),
      ]);
      const raises = memsw !== undefined && bytes > (parseCount(memsw) ?? 0n);
      if (raises) await write(memswFile, bytes);
      await write(limitFile, bytes).catch(async (error: unknown) => {
        if (!isBusy(error) || (await used()) > bytes) throw error;
        await write(limitFile, bytes);
      });
      if (memsw !== undefined && !raises) await write(memswFile, bytes);
    } catch (error) {
      if (!isBusy(error)) throw error;
      throw new MemoryInUse(bytes, await used());
    }
  }

  /** Whichever period and quota stand in between, the kernel takes: both quotas are at least its least. */
  async #writeQuota(millis: bigint, changes: Changes): Promise<void> {
    const { quotaUs, periodUs } = millisToQuota(millis);
    await changes.write("cpuMillis", this.#file("cpu", "cpu.cfs_period_us"), String(periodUs));
    await changes.write("cpuMillis", this.#file("cpu", "cpu.cfs_quota_us"), String(quotaUs));
  }

  override async readLimits(): Promise<Limits> {
    const read = (limit: LimitName, controller: V1Controller, file: string): Promise<string | undefined> =>
      this.canEnforce(limit) ? this.#read(controller, file) : Promise.resolve(undefined);
    const [memory, reservation, shares, quota, period, cpus, rootCpus, io, pids] = await Promise.all([
      read("memoryBytes", "memory", "memory.limit_in_bytes"),
      read("memoryReservationBytes", "memory", "memory.soft_limit_in_bytes"),
      read("cpuShares", "cpu", "cpu.shares"),
      read("cpuMillis", "cpu", "cpu.cfs_quota_us"),
      read("cpuMillis", "cpu", "cpu.cfs_period_us"),
      read("cpusetCpus", "cpuset", "cpuset.cpus"),
      this.availableCpus(),
      read("ioWeight", "blkio", this.#facts.ioWeightFile),
      read("pidsMax", "pids", "pids.max"),
    ]);
    const memoryBytes = limited(memory);
    const memoryReservationBytes = limited(reservation);
    const cpuShares = unlessDefault(parseCount(shares ?? ""), SHARES_DEFAULT, this.known.cpuShares);
    const quotaUs = parseCount(quota ?? "");
    const periodUs = parseCount(period ?? "");
    const cpusetCpus = unlessDefault(cpus?.trim(), rootCpus.trim(), this.known.cpusetCpus);
    const ioWeight = unlessDefault(parseDefaultWeight(io ?? ""), WEIGHT_DEFAULT, this.known.ioWeight);
    const pidsMax = parseCount(pids ?? "");
    return {
      ...(memoryBytes !== undefined && { memoryBytes }),
      ...(memoryReservationBytes !== undefined && { memoryReservationBytes }),
      ...(cpuShares !== undefined && { cpuShares }),
      ...(quotaUs !== undefined &&
        periodUs !== undefined && { cpuMillis: quotaToMillis({ quotaUs, periodUs }) }),
      ...(cpusetCpus !== undefined && cpusetCpus !== "" && { cpusetCpus }),
      ...(ioWeight !== undefined && { ioWeight }),
      ...(pidsMax !== undefined && { pidsMax }),
    };
  }

  override async readUsage(): Promise<Usage> {
    const [cpu, memory, pids, io] = await Promise.all([
      this.#readCpu(),
      this.#read("memory", "memory.max_usage_in_bytes"),
      this.#read("pids", "pids.peak"),
      this.#facts.countsIo ? this.#read("blkio", "blkio.throttle.io_service_bytes_recursive") : undefined,
    ]);
    const memoryPeakBytes = parseCount(memory ?? "");
    const pidsPeak = parseCount(pids ?? "");
    return {
      ...cpu,
      ...(memoryPeakBytes !== undefined && { memoryPeakBytes }),
      ...(pidsPeak !== undefined && { pidsPeak }),
      ...(io !== undefined && { ioReadBytes: parseServiceBytesRead(io, this.#facts.stackedMajors) }),
    };
  }

  /** v2 counts times without a controller, and divides them better; else cpuacct. */
  async #readCpu(): Promise<Usage> {
    const stat = this.v2Dir === undefined ? undefined : await readTextIfThere(join(this.v2Dir, "cpu.stat"));
    const v2 = stat === undefined ? {} : parseCpuStat(stat);
    if (v2.cpuUserUs !== undefined) return v2;
    const texts = await Promise.all([
      this.#read("cpuacct", "cpuacct.usage"),
      this.#read("cpuacct", "cpuacct.usage_user"),
      this.#read("cpuacct", "cpuacct.usage_sys"),
    ]);
    const [usage, user, system] = texts.map((text) => parseCount(text ?? ""));
    if (usage === undefined || user === undefined || system === undefined) return {};
    const { userUs, systemUs } = divideCpuTime(usage, user, system);
    return { cpuUserUs: userUs, cpuSystemUs: systemUs };
  }

  override async readOomKills(): Promise<number> {
    const text = await this.#read("memory", "memory.oom_control");
    return Number(parseKeyed(text ?? "", "oom_kill") ?? 0n);
  }
}

function limited(text: string | undefined): bigint | undefined {
  const bytes = parseCount(text ?? "");
  return bytes === undefined || bytes >= UNLIMITED_BYTES ? undefined : bytes;
}

function isBusy(error: unknown): boolean {
  return error instanceof LimitRefused && error.errno === "EBUSY";
}
