import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { join } from "node:path";

import { nodeDisk } from "../../src/store/disk";
import { encodeRecord } from "../../src/store/record-format";
import { TaskStore } from "../../src/store/task-store";
import type { UnreadableRecord } from "../../src/tasks/ports";
import { diskWith, errorWith, KeptLog, recordOf, stateDirectory, UUID_A, UUID_B } from "./support";

const made = stateDirectory();

/** Puts a record's text, or what a test has instead, into a task's directory. */
function put(uuid: string, content: Buffer | string = encodeRecord(recordOf(uuid))): string {
  const directory = join(made.tasks, uuid);
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(join(directory, "record"), content);
  return directory;
}

const aside = (...path: string[]): string => join(made.state, "set-aside", ...path);

/** Of a store in the test's directory. */
async function load(disk = nodeDisk): Promise<{
  uuids: string[];
  newer: readonly string[];
  unreadable: readonly UnreadableRecord[];
  log: KeptLog;
}> {
  const log = new KeptLog();
  const { records, newer, unreadable } = await new TaskStore(made.tasks, log, disk).load();
  return { uuids: records.map(({ uuid }) => uuid).sort(), newer, unreadable, log };
}

it("every record is loaded as it was written", async () => {
  put(UUID_A);
  put(UUID_B);
  const log = new KeptLog();
  const { records, newer } = await new TaskStore(made.tasks, log).load();
  expect(records.toSorted((a, b) => (a.uuid < b.uuid ? -1 : 1))).toEqual([
    recordOf(UUID_A),
    recordOf(UUID_B),
  ]);
  expect(newer).toEqual([]);
  expect([...log.errors, ...log.infos]).toEqual([]);
  expect(existsSync(aside())).toBe(false);
});

describe("what is no record is set aside, whole, and the others are loaded", () => {
  const whole = encodeRecord(recordOf(UUID_A));

  it.each<[string, () => void]>([
    ["empty", () => put(UUID_A, "")],
    ["cut off", () => put(UUID_A, whole.subarray(0, -1))],
    ["changed", () => put(UUID_A, whole.toString().replace("server", "sender"))],
    ["another program's", () => put(UUID_A, "#!/bin/sh\n")],
    ["another task's", () => put(UUID_A, encodeRecord(recordOf(UUID_B)))],
    ["too large", () => put(UUID_A, Buffer.alloc(70_000))],
    ["a directory", () => mkdirSync(join(made.tasks, UUID_A, "record"), { recursive: true })],
    [
      "a link, even to a record",
      () => {
        mkdirSync(join(made.tasks, UUID_A));
        writeFileSync(join(made.state, "elsewhere"), whole);
        symlinkSync("../../elsewhere", join(made.tasks, UUID_A, "record"));
      },
    ],
    [
      "a link that leads nowhere",
      () => {
        mkdirSync(join(made.tasks, UUID_A));
        symlinkSync("nowhere", join(made.tasks, UUID_A, "record"));
      },
    ],
  ])("one that is %s", async (_what, make) => {
    put(UUID_B);
    make();
    writeFileSync(join(made.tasks, UUID_A, "exit"), "kept");
    const { uuids, unreadable, log } = await load();
    expect(uuids).toEqual([UUID_B]);
    expect(unreadable).toEqual([{ uuid: UUID_A, directory: aside(UUID_A) }]);
    expect(log.errors).toEqual([
      {
        message: "set aside what is no record",
        fields: { name: UUID_A, why: expect.any(String), as: UUID_A },
      },
    ]);
    expect(readdirSync(made.tasks)).toEqual([UUID_B]);
    expect(readdirSync(aside())).toEqual([UUID_A]);
    expect(readFileSync(aside(UUID_A, "exit"), "utf8")).toBe("kept");
    expect(() => lstatSync(aside(UUID_A, "record"))).not.toThrow();
    expect(statSync(aside()).mode & 0o777).toBe(0o700);
    // It is done once.
    expect((await load()).log.errors).toEqual([]);
  });

  it("entries that no task could have", async () => {
    put(UUID_A);
    put(UUID_A.toUpperCase());
    put("lost+found");
    writeFileSync(join(made.tasks, UUID_B), "a file");
    writeFileSync(join(made.tasks, ".hidden"), "");
    symlinkSync(UUID_A, join(made.tasks, UUID_B.replace("b", "c")));
    const { uuids, log } = await load();
    expect(uuids).toEqual([UUID_A]);
    expect(readdirSync(made.tasks)).toEqual([UUID_A]);
    const names = [UUID_A.toUpperCase(), "lost+found", UUID_B, ".hidden", UUID_B.replace("b", "c")].sort();
    expect(readdirSync(aside()).sort()).toEqual(names);
    expect(log.errors.map(({ fields }) => fields["name"]).sort()).toEqual(names);
    expect(readlinkSync(aside(UUID_B.replace("b", "c")))).toBe(UUID_A);
  });

  it("under a name that is free", async () => {
    mkdirSync(aside(UUID_A), { recursive: true });
    writeFileSync(aside(`${UUID_A}.1`), "earlier");
    symlinkSync("nowhere", aside(`${UUID_A}.2`));
    put(UUID_A, "latest");
    const { log } = await load();
    expect(log.errors[0]?.fields["as"]).toBe(`${UUID_A}.3`);
    expect(readFileSync(aside(`${UUID_A}.3`, "record"), "utf8")).toBe("latest");
    expect(readdirSync(aside(UUID_A))).toEqual([]);
    expect(readFileSync(aside(`${UUID_A}.1`), "utf8")).toBe("earlier");
  });

  it("or stays where it is, and is reported, where it cannot be", async () => {
    writeFileSync(aside(), "no directory");
    put(UUID_A, "no record");
    put(UUID_B);
    const { uuids, unreadable, log } = await load();
    expect(uuids).toEqual([UUID_B]);
    expect(unreadable).toEqual([{ uuid: UUID_A, directory: join(made.tasks, UUID_A) }]);
    expect(log.errors).toMatchObject([
      {
        message: "cannot set aside what is no record",
        fields: { name: UUID_A, why: "it does not begin as a record does", error: { code: "EEXIST" } },
      },
    ]);
    expect(readFileSync(join(made.tasks, UUID_A, "record"), "utf8")).toBe("no record");
  });

  it("without a word of what is in it", async () => {
    put(UUID_A, "secret\n");
    put(UUID_B, whole.toString().replace("server", "secret"));
    expect(JSON.stringify((await load()).log.errors)).not.toContain("secret");
  });
});

it("a newer daemon's record stays untouched, and its task is named", async () => {
  const directory = put(UUID_A, "stockade-record 3.3 of another kind\n");
  writeFileSync(join(directory, "record.new"), "half");
  put(UUID_B);
  const { uuids, newer, log } = await load();
  expect([uuids, newer]).toEqual([[UUID_B], [UUID_A]]);
  expect(log.errors).toEqual([
    { message: "left the record of a newer daemon where it is", fields: { uuid: UUID_A, version: "3.3" } },
  ]);
  expect(readdirSync(directory).sort()).toEqual(["record", "record.new"]);
});

it("a directory without a record is removed, with what a dead daemon has left in it, and counted", async () => {
  mkdirSync(join(made.tasks, UUID_A));
  mkdirSync(join(made.tasks, UUID_B, "log"), { recursive: true });
  writeFileSync(join(made.tasks, UUID_B, "record.new"), "half");
  mkdirSync(join(made.tasks, UUID_B, "collected"));
  writeFileSync(join(made.tasks, UUID_B, "collected/12"), "half");
  const { uuids, log } = await load();
  expect(uuids).toEqual([]);
  expect(readdirSync(made.tasks)).toEqual([]);
  expect(existsSync(aside())).toBe(false);
  expect(log.infos).toMatchObject([{ fields: { count: 2 } }]);
  expect(log.errors).toEqual([]);
});

it("what a dead daemon has left of a write, or has collected, is removed, and the record before it is loaded", async () => {
  const directory = put(UUID_A);
  writeFileSync(join(directory, "record.new"), "half");
  writeFileSync(join(directory, "exit"), "init's");
  mkdirSync(join(directory, "collected"));
  writeFileSync(join(directory, "collected/0"), "half");
  expect((await load()).uuids).toEqual([UUID_A]);
  expect(readdirSync(directory).sort()).toEqual(["exit", "record"]);
});

it("a daemon that is out of descriptors loads nothing, and sets nothing aside", async () => {
  put(UUID_A);
  await expect(load(diskWith({ open: () => Promise.reject(errorWith("EMFILE")) }))).rejects.toMatchObject({
    code: "EMFILE",
  });
  expect(readdirSync(made.state)).toEqual(["tasks"]);
  expect(readdirSync(made.tasks)).toEqual([UUID_A]);
});

it("what a dead daemon may not have synced is synced, and what is old is not", async () => {
  put(UUID_A);
  const oldFile = join(put(UUID_B), "record");
  utimesSync(oldFile, 0, 0);
  const synced: string[] = [];
  const disk = diskWith({
    stat: (fd) => (nodeDisk.stat(fd).mtimeMs === 0 ? oldStat(fd) : nodeDisk.stat(fd)),
    fsync: async (fd) => {
      synced.push(readlinkSync(`/proc/self/fd/${fd}`));
    },
  });
  const store = new TaskStore(made.tasks, new KeptLog(), disk);
  await store.load();
  await store.flush();
  expect(synced).toEqual([join(made.tasks, UUID_A, "record"), join(made.tasks, UUID_A), made.tasks]);
});

it("of two thousand records few are open at one time", async () => {
  const count = 2_000;
  for (let n = 0; n < count; n++) put(`0198c3d2-0000-7000-8000-${n.toString(16).padStart(12, "0")}`);
  const open = new Set<number>();
  let mostOpen = 0;
  const disk = diskWith({
    open: async (path, flags, mode) => {
      const fd = await nodeDisk.open(path, flags, mode);
      mostOpen = Math.max(mostOpen, open.add(fd).size);
      return fd;
    },
    stat: oldStat,
    close: (fd) => {
      open.delete(fd);
      nodeDisk.close(fd);
    },
  });
  const { uuids } = await load(disk);
  expect(uuids).toHaveLength(count);
  expect(mostOpen).toBeLessThanOrEqual(16);
  expect(open.size).toBe(0);
});

/** A file's ctime is nobody's to set. */
function oldStat(fd: number): Stats {
  return Object.assign(nodeDisk.stat(fd), { ctimeMs: Date.now() - 3_600_000 });
}
