/**
 * How much the host has, and how much is in use. Of systeminformation only what reads files: most of it starts programs,
 * by which Node would fork.
 */
import { statfs } from "node:fs/promises";
import { availableParallelism, cpus, loadavg } from "node:os";
import { mem } from "systeminformation";

import { inTurn } from "../tasks/concurrency/fair-turns.js";
import type { DiskSpace, HostResources, MemorySpace } from "../tasks/server-info.js";

/** Looks at the host when it is called: some small reads, one after the other, in less than a millisecond. */
export type MeasureResources = () => Promise<HostResources>;

/** Asks for what does not change, which takes longer. */
export function resourcesOf(stateDir: string, allocDir: string): MeasureResources {
  const cpuModel = cpus()[0]?.model;
  return async () => ({
    measuredNs: BigInt(Date.now()) * 1_000_000n,
    cpuCount: availableParallelism(),
    cpuModel,
    memory: await memory(),
    stateDisk: await diskOf(stateDir),
    allocDisk: await diskOf(allocDir),
    loadAverages: loadavg() as [number, number, number],
  });
}

/** Of a file that cannot be read systeminformation says that there is no memory at all. */
async function memory(): Promise<MemorySpace | undefined> {
  const { total, available, swaptotal, swapfree } = await inTurn(mem());
  if (total === 0) return undefined;
  return {
    totalBytes: BigInt(total),
    availableBytes: BigInt(available),
    swapTotalBytes: BigInt(swaptotal),
    swapFreeBytes: BigInt(swapfree),
  };
}

async function diskOf(directory: string): Promise<DiskSpace | undefined> {
  try {
    const { bsize, blocks, bavail } = await inTurn(statfs(directory, { bigint: true }));
    return { totalBytes: bsize * blocks, availableBytes: bsize * bavail };
  } catch {
    return undefined;
  }
}
