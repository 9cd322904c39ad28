/**
 * What a task used, from the kernel's counters.
 *
 * Source: admin-guide/cgroup-v2.rst; admin-guide/cgroup-v1/{cpuacct,memory,blkio-controller,pids}.rst.
 */
import type { Usage } from "../../tasks/exit.js";

/** A flat keyed file ("user_usec 12\nsystem_usec 3\n"): the value of a key; undefined: no such key. */
export function parseKeyed(text: string, key: string): bigint | undefined {
  for (const line of text.split("\n")) {
    const space = line.indexOf(" ");
    if (space > 0 && line.slice(0, space) === key) return parseCount(line.slice(space + 1));
  }
  return undefined;
}

/** A decimal number; undefined for anything else ("max" too). */
export function parseCount(text: string): bigint | undefined {
  const trimmed = text.trim();
  return /^\d+$/.test(trimmed) ? BigInt(trimmed) : undefined;
}

export interface IoBytes {
  readonly readBytes: bigint;
  readonly writeBytes: bigint;
}

/**
 * Block device majors whose devices stand on other block devices. From /proc/devices, since
 * some are given out at run time.
 */
export function parseStackedMajors(procDevices: string): ReadonlySet<string> {
  const stacked = new Set<string>();
  const blockDevices = procDevices.split("Block devices:")[1] ?? "";
  for (const match of blockDevices.matchAll(/^\s*(\d+) (\S+)$/gm)) {
    const [, major, name] = match;
    if (
      major !== undefined &&
      name !== undefined &&
      ["loop", "device-mapper", "md", "mdp", "bcache"].includes(name)
    )
      stacked.add(major);
  }
  return stacked;
}

/**
 * Bytes of all devices. A stacked device's bytes are seen again on the one below it (or,
 * with dm-crypt, only on top): so the larger of the sum of the plain devices and of each stacked
 * one, and nothing is counted twice.
 */
function sumDevices(devices: ReadonlyMap<string, bigint>, stackedMajors: ReadonlySet<string>): bigint {
  let plain = 0n;
  let stacked = 0n;
  for (const [device, bytes] of devices) {
    if (!stackedMajors.has(device.split(":")[0] ?? "")) plain += bytes;
    else if (bytes > stacked) stacked = bytes;
  }
  return plain > stacked ? plain : stacked;
}

/** v2's io.stat: "8:0 rbytes=1 wbytes=2 rios=…" per device; an empty file is no I/O. */
export function parseIoStat(text: string, stackedMajors: ReadonlySet<string>): IoBytes {
  const reads = new Map<string, bigint>();
  const writes = new Map<string, bigint>();
  for (const line of text.split("\n")) {
    const device = /^(\d+:\d+) /.exec(line)?.[1];
    if (device === undefined) continue;
    reads.set(device, BigInt(/ rbytes=(\d+)/.exec(line)?.[1] ?? 0));
    writes.set(device, BigInt(/ wbytes=(\d+)/.exec(line)?.[1] ?? 0));
  }
  return { readBytes: sumDevices(reads, stackedMajors), writeBytes: sumDevices(writes, stackedMajors) };
}

/**
 * v1's blkio.throttle.io_service_bytes_recursive: "8:0 Read 4096" per device and kind. Only
 * reads: buffered writes are the root cgroup's on v1, so what a task wrote can't be told.
 */
export function parseServiceBytesRead(text: string, stackedMajors: ReadonlySet<string>): bigint {
  const reads = new Map<string, bigint>();
  for (const match of text.matchAll(/^(\d+:\d+) Read (\d+)$/gm)) {
    const [, device, bytes] = match;
    if (device !== undefined && bytes !== undefined) reads.set(device, BigInt(bytes));
  }
  return sumDevices(reads, stackedMajors);
}

/**
 * v1's times in microseconds from nanoseconds: `usage` is exact, the other two may be sampled at
 * the tick, so they only say how to divide it (as the kernel's cputime_adjust does for v2's cpu.stat).
 */
export function divideCpuTime(
  usageNs: bigint,
  userNs: bigint,
  systemNs: bigint,
): { readonly userUs: bigint; readonly systemUs: bigint } {
  const sampled = userNs + systemNs;
  const totalUs = usageNs / 1000n;
  const systemUs = sampled === 0n ? 0n : (totalUs * systemNs) / sampled;
  return { userUs: totalUs - systemUs, systemUs };
}

/** v2's cpu.stat, in microseconds. */
export function parseCpuStat(text: string): Pick<Usage, "cpuUserUs" | "cpuSystemUs"> {
  const cpuUserUs = parseKeyed(text, "user_usec");
  const cpuSystemUs = parseKeyed(text, "system_usec");
  return cpuUserUs === undefined || cpuSystemUs === undefined ? {} : { cpuUserUs, cpuSystemUs };
}
