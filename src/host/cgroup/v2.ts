/**
 * A task's cgroup on v2.
 *
 * Source: admin-guide/cgroup-v2.rst.
 */
import { join } from "node:path";
import type { Usage } from "../../tasks/exit.js";
import type { LimitName, Limits } from "../../tasks/limits.js";
import { MemoryInUse } from "../../tasks/ports.js";
import type { Changes } from "./changes.js";
import { millisToQuota, quotaToMillis } from "./cpu-quota.js";
import { readText, readTextIfThere, writeTextIfThere } from "./files.js";
import type { CgroupPlace } from "./kill.js";
import { HostCgroup } from "./task-cgroup.js";
import { parseCount, parseCpuStat, parseIoStat, parseKeyed } from "./usage.js";
import {
  parseDefaultWeight,
  reportedShares,
  sharesToWeight,
  unlessDefault,
  WEIGHT_DEFAULT,
} from "./weight.js";

export type IoWeightFile = "io.bfq.weight" | "io.weight";

/** What is the same for all tasks of a v2 host. */
export interface V2Facts {
  readonly reasons: ReadonlyMap<LimitName, string>;
  /** The kernel has memory.swap.max. */
  readonly swap: boolean;
  /** The weights that some disk follows: BFQ's, iocost's, or both. */
  readonly ioWeightFiles: readonly IoWeightFile[];
  /** Absolute path of the cgroup root's cpuset.cpus.effective. */
  readonly rootCpusFile: string;
  readonly stackedMajors: ReadonlySet<string>;
}

export class V2Cgroup extends HostCgroup {
  override readonly cpuTimeFile: string;
  readonly #dir: string;
  readonly #facts: V2Facts;

  constructor(place: CgroupPlace & { readonly v2Dir: string }, facts: V2Facts, known: Limits) {
    super(place, facts.reasons, known);
    this.#dir = place.v2Dir;
    this.cpuTimeFile = this.#file("cpu.stat");
    this.#facts = facts;
  }

  #file(name: string): string {
    return join(this.#dir, name);
  }

  protected override availableCpus(): Promise<string> {
    return readText(this.#facts.rootCpusFile);
  }

  protected override write(limits: Limits, changes: Changes): readonly Promise<void>[] {
    const writes: Promise<void>[] = [];
    const { memoryBytes, memoryReservationBytes, cpuShares, cpuMillis, cpusetCpus, ioWeight, pidsMax } =
      limits;
    const write = (limit: LimitName, file: string, value: string): void => {
      writes.push(changes.write(limit, this.#file(file), value));
    };
    if (memoryBytes !== undefined) writes.push(this.#writeMemory(memoryBytes, changes));
    if (memoryReservationBytes !== undefined)
      writes.push(this.writeReservation(this.#file("memory.low"), memoryReservationBytes, changes));
    if (cpuShares !== undefined) write("cpuShares", "cpu.weight", String(sharesToWeight(cpuShares)));
    if (cpuMillis !== undefined) {
      const { quotaUs, periodUs } = millisToQuota(cpuMillis);
      write("cpuMillis", "cpu.max", `${quotaUs} ${periodUs}`);
    }
    if (cpusetCpus !== undefined) writes.push(this.#writeCpus(cpusetCpus, changes));
    if (ioWeight !== undefined)
      for (const file of this.#facts.ioWeightFiles) write("ioWeight", file, `default ${ioWeight}`);
    if (pidsMax !== undefined) write("pidsMax", "pids.max", String(pidsMax));
    return writes;
  }

  /** With processes in it, a cpuset cannot be made empty again (ENOSPC): all CPUs mean the same. */
  async #writeCpus(cpus: string, changes: Changes): Promise<void> {
    const all = (await this.availableCpus()).trim();
    await changes.write("cpusetCpus", this.#file("cpuset.cpus"), cpus, all);
  }

  /**
   * memory.max below the use makes the kernel kill. memory.high only reclaims, and slows the task
   * down: so it goes to the new limit first, and what is left decides. Swap goes off before, so that reclaim can't
   * make room by swapping (as on v1).
   */
  async #writeMemory(bytes: bigint, changes: Changes): Promise<void> {
    if (this.#facts.swap) await changes.write("memoryBytes", this.#file("memory.swap.max"), "0");
    if ((await this.#memoryCurrent()) <= bytes / 2n) {
      await changes.write("memoryBytes", this.#file("memory.max"), String(bytes));
      return;
    }
    const highFile = this.#file("memory.high");
    const high = (await readText(highFile)).trim();
    const before = parseCount((await readText(this.#file("memory.max"))).trim());
    try {
      // Raising needs no reclaim.
      if (before === undefined || bytes < before) {
        await writeTextIfThere(highFile, String(bytes));
        const current = await this.#memoryCurrent();
        if (current > bytes) throw new MemoryInUse(bytes, current);
      }
      await changes.write("memoryBytes", this.#file("memory.max"), String(bytes));
    } finally {
      await writeTextIfThere(highFile, high);
    }
  }

  async #memoryCurrent(): Promise<bigint> {
    return parseCount(await readText(this.#file("memory.current"))) ?? 0n;
  }

  override async readLimits(): Promise<Limits> {
    const read = (limit: LimitName, file: string | undefined): Promise<string | undefined> =>
      file !== undefined && this.canEnforce(limit)
        ? readTextIfThere(this.#file(file))
        : Promise.resolve(undefined);
    const [memory, low, weight, max, cpus, rootCpus, io, pids] = await Promise.all([
      read("memoryBytes", "memory.max"),
      read("memoryReservationBytes", "memory.low"),
      read("cpuShares", "cpu.weight"),
      read("cpuMillis", "cpu.max"),
      read("cpusetCpus", "cpuset.cpus"),
      this.canEnforce("cpusetCpus") ? this.availableCpus() : "",
      read("ioWeight", this.#facts.ioWeightFiles[0]),
      read("pidsMax", "pids.max"),
    ]);
    const memoryBytes = parseCount(memory ?? "");
    const memoryReservationBytes = parseCount(low ?? "");
    const cpuWeight = unlessDefault(
      parseCount(weight ?? ""),
      WEIGHT_DEFAULT,
      this.known.cpuShares === undefined ? undefined : 0n,
    );
    const cpuMillis = parseCpuMax(max ?? "");
    const cpusetCpus = unlessDefault(cpus?.trim(), rootCpus.trim(), this.known.cpusetCpus);
    const ioWeight = unlessDefault(parseDefaultWeight(io ?? ""), WEIGHT_DEFAULT, this.known.ioWeight);
    const pidsMax = parseCount(pids ?? "");
    return {
      ...(memoryBytes !== undefined && { memoryBytes }),
      ...(memoryReservationBytes !== undefined && memoryReservationBytes > 0n && { memoryReservationBytes }),
      ...(cpuWeight !== undefined && { cpuShares: reportedShares(cpuWeight, this.known.cpuShares) }),
      ...(cpuMillis !== undefined && { cpuMillis }),
      ...(cpusetCpus !== undefined && cpusetCpus !== "" && { cpusetCpus }),
      ...(ioWeight !== undefined && { ioWeight }),
      ...(pidsMax !== undefined && { pidsMax }),
    };
  }

  override async readUsage(): Promise<Usage> {
    const [cpu, memory, pids, io] = await Promise.all(
      ["cpu.stat", "memory.peak", "pids.peak", "io.stat"].map((file) => readTextIfThere(this.#file(file))),
    );
    const memoryPeakBytes = parseCount(memory ?? "");
    const pidsPeak = parseCount(pids ?? "");
    const bytes = io === undefined ? undefined : parseIoStat(io, this.#facts.stackedMajors);
    return {
      ...parseCpuStat(cpu ?? ""),
      ...(memoryPeakBytes !== undefined && { memoryPeakBytes }),
      ...(pidsPeak !== undefined && { pidsPeak }),
      ...(bytes !== undefined && { ioReadBytes: bytes.readBytes, ioWriteBytes: bytes.writeBytes }),
    };
  }

  override async readOomKills(): Promise<number> {
    return Number(parseKeyed((await readTextIfThere(this.#file("memory.events"))) ?? "", "oom_kill") ?? 0n);
  }
}

/** cpu.max, "50000 100000", in thousandths of a core; undefined: "max 100000", or no file. */
export function parseCpuMax(text: string): bigint | undefined {
  const [quota, period] = text.trim().split(" ");
  const quotaUs = parseCount(quota ?? "");
  const periodUs = parseCount(period ?? "");
  return quotaUs === undefined || periodUs === undefined || periodUs === 0n
    ? undefined
    : quotaToMillis({ quotaUs, periodUs });
}
