import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { nodeDisk, type Disk } from "../../src/store/disk";
import { EXIT_OFFSETS, EXIT_RECORD, fnv1a } from "../../src/store/exit-record";
import { decodeRecord } from "../../src/store/record-format";
import { TaskStore } from "../../src/store/task-store";
import type { TaskRecord } from "../../src/tasks/ports";
import { until } from "../support/daemon";
import { diskWith, errorWith, KeptLog, recordOf, stateDirectory, UUID_A, UUID_B } from "./support";

const made = stateDirectory();

function onDisk(uuid = UUID_A): TaskRecord {
  const decoded = decodeRecord(readFileSync(join(made.tasks, uuid, "record")), uuid);
  if (decoded.kind !== "record") throw new Error(JSON.stringify(decoded));
  return decoded.record;
}

/** Versions of a record are told apart by this. */
const version = (pidsMax: bigint): TaskRecord => recordOf(UUID_A, { limits: { pidsMax } });

function store(disk: Disk = nodeDisk, log = new KeptLog()): TaskStore {
  return new TaskStore(made.tasks, log, disk);
}

/** Its renames wait for the test; `versions` are those that are in place. */
function heldDisk(): { disk: Disk; versions: bigint[]; release: () => void } {
  const versions: bigint[] = [];
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const disk = diskWith({
    rename: async (from, to) => {
      await held;
      await nodeDisk.rename(from, to);
      versions.push(onDisk().limits.pidsMax ?? -1n);
    },
  });
  return { disk, versions, release };
}

it("a record directory is made for its owner alone, and once", async () => {
  const records = store();
  await records.create(UUID_A);
  expect(records.directoryOf(UUID_A)).toBe(join(made.tasks, UUID_A));
  expect(statSync(records.directoryOf(UUID_A)).mode & 0o777).toBe(0o700);
  expect(readdirSync(records.directoryOf(UUID_A))).toEqual([]);
  await expect(records.create(UUID_A)).rejects.toMatchObject({ code: "EEXIST" });
});

it("an exit record is watched until that is ended, and must be there", async () => {
  const records = store();
  await records.create(UUID_A);
  const path = join(records.directoryOf(UUID_A), "exit");
  expect(() => records.watchExit(UUID_A, () => undefined)).toThrow(
    expect.objectContaining({ code: "ENOENT" }),
  );
  writeFileSync(path, "");
  let told = 0;
  const end = records.watchExit(UUID_A, () => told++);
  writeFileSync(path, "1");
  await until(() => told > 0);
  end();
  const before = told;
  writeFileSync(path, "2");
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(told).toBe(before);
});

describe("a write", () => {
  it("is in place when it resolves", async () => {
    const records = store();
    await records.create(UUID_A);
    await records.write(version(1n));
    expect(onDisk()).toEqual(version(1n));
    await records.write(version(2n));
    expect(onDisk()).toEqual(version(2n));
  });

  it("comes after those before it, and resolves with what it has or something newer in place", async () => {
    const { disk, versions, release } = heldDisk();
    const records = store(disk);
    await records.create(UUID_A);
    const seen: bigint[] = [];
    const writes = [1n, 2n, 3n, 4n].map(async (n) => {
      await records.write(version(n));
      seen.push(n);
      expect(onDisk().limits.pidsMax).toBeGreaterThanOrEqual(n);
    });
    release();
    await Promise.all(writes);
    expect(seen).toEqual([1n, 2n, 3n, 4n]);
    // The second and third were overtaken before they had begun.
    expect(versions).toEqual([1n, 4n]);
  });

  it("of one task does not wait for another's", async () => {
    const { disk } = heldDisk();
    const records = store({
      ...disk,
      rename: (from, to) => (from.includes(UUID_A) ? disk.rename(from, to) : nodeDisk.rename(from, to)),
    });
    await records.create(UUID_A);
    await records.create(UUID_B);
    void records.write(version(1n));
    await records.write(recordOf(UUID_B));
    expect(onDisk(UUID_B)).toEqual(recordOf(UUID_B));
    expect(existsSync(join(made.tasks, UUID_A, "record"))).toBe(false);
  });

  it("that fails leaves the old record, and does not keep the next from its place", async () => {
    let failures = 1;
    const records = store(
      diskWith({
        write: (fd, bytes, start) =>
          bytes.includes('"pidsMax": "2"') && failures-- > 0
            ? Promise.reject(errorWith("ENOSPC"))
            : nodeDisk.write(fd, bytes, start),
      }),
    );
    await records.create(UUID_A);
    await records.write(version(1n));
    await expect(records.write(version(2n))).rejects.toMatchObject({ code: "ENOSPC" });
    expect(onDisk()).toEqual(version(1n));
    expect(readdirSync(join(made.tasks, UUID_A))).toEqual(["record"]);
    await records.write(version(2n));
    expect(onDisk()).toEqual(version(2n));
  });

  it("into a directory that is not there fails, and makes none", async () => {
    await expect(store().write(version(1n))).rejects.toMatchObject({ code: "ENOENT" });
    expect(readdirSync(made.tasks)).toEqual([]);
  });

  it("is not synced on its path, and is by flush, which waits for it", async () => {
    const synced: string[] = [];
    const records = store(
      diskWith({
        fsync: async (fd) => {
          synced.push(readlinkSync(`/proc/self/fd/${fd}`).slice(made.state.length));
        },
      }),
    );
    await records.create(UUID_A);
    await records.write(version(1n));
    expect(synced).toEqual([]);
    await records.flush();
    expect(synced).toEqual([`/tasks/${UUID_A}/record`, `/tasks/${UUID_A}`, "/tasks"]);
    synced.length = 0;
    void records.write(version(2n));
    await records.flush();
    expect(onDisk()).toEqual(version(2n));
    expect(synced).toHaveLength(3);
  });
});

describe("a removal", () => {
  it("takes all there is, and may be repeated", async () => {
    const records = store();
    await records.create(UUID_A);
    await records.write(version(1n));
    mkdirSync(join(made.tasks, UUID_A, "log"));
    writeFileSync(join(made.tasks, UUID_A, "log/stdout"), "output");
    await records.remove(UUID_A);
    await records.remove(UUID_A);
    expect(readdirSync(made.tasks)).toEqual([]);
  });

  it("comes after the writes before it, and before those after it", async () => {
    const { disk, versions, release } = heldDisk();
    const records = store(disk);
    await records.create(UUID_A);
    const before = [records.write(version(1n)), records.write(version(2n))];
    const removed = records.remove(UUID_A);
    const after = records.write(version(3n));
    release();
    await Promise.all([...before, removed]);
    await expect(after).rejects.toMatchObject({ code: "ENOENT" });
    expect(versions).toEqual([1n, 2n]);
    expect(readdirSync(made.tasks)).toEqual([]);
  });
});

describe("what init has written", () => {
  function exitFile(): Buffer {
    const bytes = Buffer.alloc(EXIT_RECORD.SIZE);
    bytes.writeUInt32LE(EXIT_RECORD.MAGIC, EXIT_OFFSETS.magic);
    bytes.writeUInt32LE(EXIT_RECORD.VERSION, EXIT_OFFSETS.version);
    bytes.writeBigUInt64LE(fnv1a(bytes.subarray(0, EXIT_OFFSETS.checksum)), EXIT_OFFSETS.checksum);
    return bytes;
  }

  it("is read", async () => {
    const records = store();
    await records.create(UUID_A);
    expect(await records.readExit(UUID_A)).toBeUndefined();
    writeFileSync(join(made.tasks, UUID_A, "exit"), exitFile());
    expect(await records.readExit(UUID_A)).toMatchObject({ ended: false, started: false });
    expect(await records.readExit(UUID_B)).toBeUndefined();
  });

  it("is reported where it cannot be used, once", async () => {
    const log = new KeptLog();
    const records = store(nodeDisk, log);
    await records.create(UUID_A);
    writeFileSync(join(made.tasks, UUID_A, "exit"), exitFile().subarray(1));
    expect(await records.readExit(UUID_A)).toBeUndefined();
    expect(await records.readExit(UUID_A)).toBeUndefined();
    expect(log.errors).toEqual([
      { message: "cannot use an exit record", fields: { uuid: UUID_A, why: "it has not 96 bytes" } },
    ]);
  });
});
