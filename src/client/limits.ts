/** What a task may use, in the units that people use. */
import { Resources } from "../gen/executor/v1/executor.js";

/** Bytes, or a number with its unit, each 1024 times the one before: "512k", "64m", "1.5g", "64MiB". */
export type ByteSize = number | bigint | string;

/** Limits of a task; what is left out is not limited. Out of its range: INVALID_ARGUMENT, by the daemon. */
export interface Limits {
  /** Most memory; no swap. */
  readonly memory?: ByteSize | undefined;
  /** What of it is reclaimed last. */
  readonly memoryReservation?: ByteSize | undefined;
  /** Most CPUs' worth of time: 0.5 is half of one. In steps of 0.001. */
  readonly cpus?: number | undefined;
  /** Relative weight, 2 to 262144; 1024 is the usual one. */
  readonly cpuShares?: number | undefined;
  /** The CPUs that it may run on: "0-2,4". */
  readonly cpuset?: string | undefined;
  /** Relative weight, 10 to 1000; 100 is the usual one. */
  readonly ioWeight?: number | undefined;
  /** Most processes and threads at one time. */
  readonly pids?: number | undefined;
}

/** The place of each is its power of 1024. */
const UNITS = ["", "k", "m", "g", "t", "p"];

/** Throws a TypeError that names `field`. */
export function parseByteSize(size: ByteSize, field: string): bigint {
  const bytes = typeof size === "string" ? bytesOf(size) : size;
  if (bytes === undefined || bytes < 0 || (typeof bytes === "number" && !Number.isSafeInteger(bytes))) {
    const shown = typeof size === "bigint" ? size.toString() : JSON.stringify(size);
    throw new TypeError(`${field} must be bytes, or a number with k, m, g or t: ${shown}`);
  }
  return BigInt(bytes);
}

function bytesOf(text: string): number | undefined {
  const [, count, unit = ""] = /^(\d+(?:\.\d+)?|\.\d+)(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text) ?? [];
  if (count === undefined) return undefined;
  return Math.round(Number(count) * 1024 ** UNITS.indexOf(unit.toLowerCase()));
}

/** The message. Throws a TypeError. */
export function toResources(limits: Limits): Resources {
  const { memory, memoryReservation, cpus, cpuShares, cpuset, ioWeight, pids } = limits;
  return Resources.fromPartial({
    memoryBytes: memory === undefined ? undefined : parseByteSize(memory, "limits.memory"),
    memoryReservationBytes:
      memoryReservation === undefined
        ? undefined
        : parseByteSize(memoryReservation, "limits.memoryReservation"),
    cpuMillis: cpus === undefined ? undefined : integer(cpus * 1000, "limits.cpus", "steps of 0.001"),
    cpuShares: count(cpuShares, "limits.cpuShares"),
    cpusetCpus: cpuset,
    ioWeight: count(ioWeight, "limits.ioWeight"),
    pidsMax: count(pids, "limits.pids"),
  });
}

function count(value: number | undefined, field: string): bigint | undefined {
  return value === undefined ? undefined : integer(value, field, "whole numbers");
}

function integer(value: number, field: string, steps: string): bigint {
  const rounded = Math.round(value);
  if (!Number.isSafeInteger(rounded) || rounded < 0 || Math.abs(rounded - value) > 1e-6) {
    throw new TypeError(`${field} goes in ${steps}, from 0 on`);
  }
  return BigInt(rounded);
}
