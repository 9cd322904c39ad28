/**
 * What init writes of a task's end: native/exit-record.h in TypeScript, which is where the fields are explained. A test
 * reads that file and holds both against each other.
 */
import { isUndecided, readExitFlags } from "../tasks/exit-flags.js";
import type { InitExit } from "../tasks/ports.js";
import type { StreamOffsets } from "../tasks/ports-output.js";

export const EXIT_NAME = "exit";

export const EXIT_RECORD = { MAGIC: 0x58455453, VERSION: 1, SIZE: 96 } as const;

/** In bytes; each is 8 long, but for the first four, which are 4. */
export const EXIT_OFFSETS = {
  magic: 0,
  version: 4,
  flags: 8,
  wait_status: 12,
  started_ns: 16,
  exited_ns: 24,
  stdout_bytes: 32,
  stderr_bytes: 40,
  stdout_dropped: 48,
  stderr_dropped: 56,
  cpu_user_us: 64,
  cpu_system_us: 72,
  memory_peak_bytes: 80,
  checksum: 88,
} as const;

/**
 * `torn`: read while init wrote it, perhaps, and whole when it is read again. `undecided`: the command was let go, and
 * whether it has been executed init has not written yet, or was killed before it could.
 */
export type DecodedExit =
  | { readonly kind: "exit"; readonly exit: InitExit }
  | { readonly kind: "undecided" }
  | { readonly kind: "unreadable"; readonly why: string; readonly torn: boolean };

/** Never throws. */
export function decodeExit(bytes: Buffer): DecodedExit {
  const flaw = flawOf(bytes);
  if (flaw !== undefined) return flaw;
  if (isUndecided(bytes.readUInt32LE(EXIT_OFFSETS.flags))) return { kind: "undecided" };
  return { kind: "exit", exit: readFields(bytes) };
}

/** How much of its beginning each log has lost, by a record that is whole; undefined: it is not, or not yet. */
export function decodeDropped(bytes: Buffer): StreamOffsets | undefined {
  if (flawOf(bytes) !== undefined) return undefined;
  const offset = (field: "stdout_dropped" | "stderr_dropped"): number =>
    Number(bytes.readBigUInt64LE(EXIT_OFFSETS[field]));
  return { stdout: offset("stdout_dropped"), stderr: offset("stderr_dropped") };
}

function flawOf(bytes: Buffer): (DecodedExit & { readonly kind: "unreadable" }) | undefined {
  if (bytes.length !== EXIT_RECORD.SIZE) return unreadable(`it has not ${EXIT_RECORD.SIZE} bytes`);
  if (bytes.readUInt32LE(EXIT_OFFSETS.magic) !== EXIT_RECORD.MAGIC) {
    return unreadable("it does not begin as an exit record does");
  }
  if (bytes.readUInt32LE(EXIT_OFFSETS.version) !== EXIT_RECORD.VERSION) {
    return unreadable("its version is another");
  }
  if (bytes.readBigUInt64LE(EXIT_OFFSETS.checksum) !== fnv1a(bytes.subarray(0, EXIT_OFFSETS.checksum))) {
    return unreadable("its checksum is wrong", true);
  }
  return undefined;
}

function unreadable(why: string, torn = false): DecodedExit & { readonly kind: "unreadable" } {
  return { kind: "unreadable", why, torn };
}

function readFields(bytes: Buffer): InitExit {
  const u64 = (field: keyof typeof EXIT_OFFSETS): bigint => bytes.readBigUInt64LE(EXIT_OFFSETS[field]);
  return {
    waitStatus: bytes.readInt32LE(EXIT_OFFSETS.wait_status),
    ...readExitFlags(bytes.readUInt32LE(EXIT_OFFSETS.flags)),
    startedNs: u64("started_ns"),
    exitedNs: u64("exited_ns"),
    stdoutDroppedBytes: u64("stdout_dropped"),
    stderrDroppedBytes: u64("stderr_dropped"),
    cpuUserUs: u64("cpu_user_us"),
    cpuSystemUs: u64("cpu_system_us"),
    memoryPeakBytes: u64("memory_peak_bytes"),
  };
}

/** FNV-1a of 64 bits, as record_checksum of native/record.c. */
export function fnv1a(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
