/** What a limit may be, whatever the host. */
import { invalidField, missingField } from "../errors.js";
import type { LimitName, Limits } from "../limits.js";

const FIELD_NAMES = {
  memoryBytes: "memory_bytes",
  memoryReservationBytes: "memory_reservation_bytes",
  cpuShares: "cpu_shares",
  cpuMillis: "cpu_millis",
  cpusetCpus: "cpuset_cpus",
  ioWeight: "io_weight",
  pidsMax: "pids_max",
} as const satisfies Record<LimitName, string>;

export const LIMIT_NAMES: readonly LimitName[] = Object.freeze(Object.keys(FIELD_NAMES) as LimitName[]);

/** The name of a limit in the API's Resources: "memory_bytes". */
export function limitFieldName(name: LimitName): string {
  return FIELD_NAMES[name];
}

/** The kernel counts in signed 64 bits of bytes. */
const BYTES_MAX = 2n ** 63n - 1n;

/** Inclusive. */
const RANGES = {
  memoryBytes: [1n, BYTES_MAX],
  memoryReservationBytes: [1n, BYTES_MAX],
  // MIN_SHARES and MAX_SHARES of kernel/sched/sched.h.
  cpuShares: [2n, 262_144n],
  // A thousand cores.
  cpuMillis: [1n, 1_000_000n],
  ioWeight: [10n, 1_000n],
  // PID_MAX_LIMIT of include/linux/threads.h.
  pidsMax: [1n, 4_194_304n],
} as const satisfies Record<Exclude<LimitName, "cpusetCpus">, readonly [bigint, bigint]>;

/** NR_CPUS is at most 8192. Source: arch/x86/Kconfig, NR_CPUS_RANGE_END. */
const CPU_MAX = 8191;

/** One write to a cgroup file takes less than a page. Source: kernfs_fop_write_iter, fs/kernfs/file.c. */
const CPUS_LENGTH_MAX = 4095;

/**
 * Checks limits as asked for; absent ones are unchanged. Throws INVALID_ARGUMENT: FIELD_MISSING
 * (resources) if there is none, FIELD_INVALID naming field and range otherwise.
 */
export function checkLimits(limits: Limits): Limits {
  const given = LIMIT_NAMES.filter((name) => limits[name] !== undefined);
  if (given.length === 0) throw missingField("resources");
  for (const name of given) {
    if (name === "cpusetCpus") checkCpus(limits.cpusetCpus ?? "");
    else checkRange(name, limits[name] ?? 0n);
  }
  const { memoryBytes, memoryReservationBytes } = limits;
  if (
    memoryBytes !== undefined &&
    memoryReservationBytes !== undefined &&
    memoryReservationBytes > memoryBytes
  ) {
    throw invalidField(
      fieldPath("memoryReservationBytes"),
      `${FIELD_NAMES.memoryReservationBytes} is more than ${FIELD_NAMES.memoryBytes}`,
    );
  }
  return Object.freeze({ ...limits });
}

function fieldPath(name: LimitName): string {
  return `resources.${FIELD_NAMES[name]}`;
}

function checkRange(name: keyof typeof RANGES, value: bigint): void {
  const [min, max] = RANGES[name];
  if (value < min || value > max) {
    throw invalidField(fieldPath(name), `${FIELD_NAMES[name]} must be ${min} to ${max}, and is ${value}`);
  }
}

function checkCpus(list: string): void {
  const wellFormed =
    list.length <= CPUS_LENGTH_MAX &&
    list.split(",").every((part) => {
      const match = /^(0|[1-9][0-9]{0,3})(?:-(0|[1-9][0-9]{0,3}))?$/.exec(part);
      const first = Number(match?.[1] ?? NaN);
      const last = Number(match?.[2] ?? first);
      return first <= last && last <= CPU_MAX;
    });
  if (!wellFormed) {
    throw invalidField(
      fieldPath("cpusetCpus"),
      `${FIELD_NAMES.cpusetCpus} must be a list of CPUs 0 to ${CPU_MAX} such as "0-2,4"`,
    );
  }
}
