/** A task's logs as they are on disk, with an exit record that init may be writing. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { nodeDisk } from "../../src/store/disk";
import { EXIT_OFFSETS, EXIT_RECORD, fnv1a } from "../../src/store/exit-record";
import { openOutputFiles } from "../../src/store/output-files";
import { AtMost } from "../../src/tasks/concurrency/at-most";
import type { OutputFiles } from "../../src/tasks/ports-output";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "stockade-output-"));
  mkdirSync(join(directory, "log"));
  writeFileSync(join(directory, "log/stdout"), "0123456789");
  writeFileSync(join(directory, "log/stderr"), "");
  writeFileSync(join(directory, "exit"), record(0n, 0n));
});

afterEach(() => rmSync(directory, { recursive: true }));

function record(stdout: bigint, stderr: bigint): Buffer {
  const bytes = Buffer.alloc(EXIT_RECORD.SIZE);
  bytes.writeUInt32LE(EXIT_RECORD.MAGIC, EXIT_OFFSETS.magic);
  bytes.writeUInt32LE(EXIT_RECORD.VERSION, EXIT_OFFSETS.version);
  bytes.writeBigUInt64LE(stdout, EXIT_OFFSETS.stdout_dropped);
  bytes.writeBigUInt64LE(stderr, EXIT_OFFSETS.stderr_dropped);
  bytes.writeBigUInt64LE(fnv1a(bytes.subarray(0, EXIT_OFFSETS.checksum)), EXIT_OFFSETS.checksum);
  return bytes;
}

const open = (): Promise<OutputFiles> => openOutputFiles(nodeDisk, directory, new AtMost(2));
const descriptors = (): number => readdirSync("/proc/self/fd").length;

it("reads what is there, up to the end of the file", async () => {
  const files = await open();
  const bytes = Buffer.alloc(6);
  expect(await files.read("stdout", 2, bytes)).toBe(6);
  expect(bytes.toString()).toBe("234567");
  expect(await files.read("stdout", 8, bytes)).toBe(2);
  expect(await files.read("stdout", 10, bytes)).toBe(0);
  expect([files.size("stdout"), files.size("stderr")]).toEqual([10, 0]);
  files.close();
});

it("knows how much is lost as init writes it", async () => {
  const files = await open();
  expect(files.kept()).toEqual({ stdout: 0, stderr: 0 });
  writeFileSync(join(directory, "exit"), record(4096n, 2n ** 40n));
  expect(files.kept()).toEqual({ stdout: 4096, stderr: 2 ** 40 });
  files.close();
});

it("takes no record that is not whole for an answer", async () => {
  const files = await open();
  expect(files.kept()).toEqual({ stdout: 0, stderr: 0 });
  const torn = record(4096n, 0n);
  torn.writeBigUInt64LE(8192n, EXIT_OFFSETS.stdout_dropped);
  writeFileSync(join(directory, "exit"), torn);
  expect(() => files.kept()).toThrow("exit record");
  files.close();
});

it("hears of a write", async () => {
  const files = await open();
  const heard = new Promise<void>((resolve) => {
    const unwatch = files.watch(() => {
      unwatch();
      resolve();
    });
  });
  writeFileSync(join(directory, "log/stdout"), "more", { flag: "a" });
  await heard;
  files.close();
});

it.each([
  ["no log", () => rmSync(join(directory, "log/stderr")), "ENOENT"],
  ["no exit record", () => rmSync(join(directory, "exit")), "ENOENT"],
  [
    "a link in place of a log",
    () => {
      rmSync(join(directory, "log/stderr"));
      symlinkSync("/etc/passwd", join(directory, "log/stderr"));
    },
    "ELOOP",
  ],
])("where there is %s nothing is left open", async (_, spoil, code) => {
  spoil();
  const before = descriptors();
  await expect(open()).rejects.toMatchObject({ code });
  expect(descriptors()).toBe(before);
});
