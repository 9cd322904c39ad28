import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { nodeDisk, type Disk } from "../../src/store/disk";
import {
  readSmallFile,
  RECORD_NAME,
  removeTemporary,
  TEMPORARY_NAME,
  writeRecordFile,
} from "../../src/store/record-file";
import { diskWith, errorWith, stateDirectory } from "./support";

const made = stateDirectory();
const path = (name = RECORD_NAME): string => join(made.tasks, name);
const content = (): string => readFileSync(path(), "utf8");

async function write(text: string, disk: Disk = nodeDisk): Promise<void> {
  await writeRecordFile(disk, made.tasks, Buffer.from(text));
}

describe("a record file", () => {
  it("is replaced, whole, by another that only its owner may read", async () => {
    await write("old, and longer");
    const old = statSync(path()).ino;
    await write("new");
    expect(content()).toBe("new");
    expect(statSync(path()).ino).not.toBe(old);
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(readdirSync(made.tasks)).toEqual([RECORD_NAME]);
  });

  it("is written whole by a disk that takes some bytes at a time", async () => {
    const disk = diskWith({
      write: (fd, bytes, start) => nodeDisk.write(fd, bytes.subarray(0, start + 3), start),
    });
    await write("one, two, three", disk);
    expect(content()).toBe("one, two, three");
  });

  it("takes the place of what a dead daemon has left of one", async () => {
    writeFileSync(path(TEMPORARY_NAME), "half of a longer record");
    await write("new");
    expect(content()).toBe("new");
  });

  it("is not written through a link", async () => {
    writeFileSync(path("elsewhere"), "as it was");
    symlinkSync("elsewhere", path(TEMPORARY_NAME));
    await expect(write("new")).rejects.toMatchObject({ code: "ELOOP" });
    expect(readFileSync(path("elsewhere"), "utf8")).toBe("as it was");
    // The link is gone with the failure: the next write is well.
    await write("new");
    expect(content()).toBe("new");
  });
});

describe("a disk that fails leaves the old record, and nothing of the new one", () => {
  const half: Disk["write"] = async (fd, bytes, start) => {
    if (start > 0) throw errorWith("ENOSPC");
    return nodeDisk.write(fd, bytes.subarray(0, 2), 0);
  };

  it.each<[string, Partial<Disk>]>([
    ["ENOSPC", { write: half }],
    ["EROFS", { open: () => Promise.reject(errorWith("EROFS")) }],
    ["EMFILE", { open: () => Promise.reject(errorWith("EMFILE")) }],
    ["EIO", { rename: () => Promise.reject(errorWith("EIO")) }],
  ])("with %s", async (code, failing) => {
    await write("old");
    const before = descriptors();
    await expect(write("new", diskWith(failing))).rejects.toMatchObject({ code });
    expect(content()).toBe("old");
    expect(readdirSync(made.tasks)).toEqual([RECORD_NAME]);
    expect(descriptors()).toEqual(before);
  });

  it("also where the directory has gone", async () => {
    rmSync(made.tasks, { recursive: true });
    await expect(write("new")).rejects.toMatchObject({ code: "ENOENT" });
    expect(existsSync(made.tasks)).toBe(false);
    mkdirSync(made.tasks);
  });
});

it("what a dead daemon has left of a record is removed", async () => {
  await write("whole");
  writeFileSync(path(TEMPORARY_NAME), "half");
  await removeTemporary(nodeDisk, made.tasks);
  await removeTemporary(nodeDisk, made.tasks);
  expect(readdirSync(made.tasks)).toEqual([RECORD_NAME]);
});

describe("a small file", () => {
  it("is read, with when it was changed", async () => {
    writeFileSync(path(), "text");
    const file = await readSmallFile(nodeDisk, path());
    expect(file).toEqual({
      kind: "content",
      bytes: Buffer.from("text"),
      changedMs: statSync(path()).ctimeMs,
    });
  });

  it("is absent", async () => {
    expect(await readSmallFile(nodeDisk, path())).toEqual({ kind: "absent" });
  });

  it("is not one of more than 64 KiB", async () => {
    writeFileSync(path(), Buffer.alloc(65_536));
    expect((await readSmallFile(nodeDisk, path())).kind).toBe("content");
    writeFileSync(path(), Buffer.alloc(65_537));
    expect(await readSmallFile(nodeDisk, path())).toEqual({
      kind: "unreadable",
      why: "it has more than 65536 bytes",
    });
  });

  it("is not a fifo, which nobody waits for", async () => {
    execFileSync("mkfifo", [path()]);
    expect(await readSmallFile(nodeDisk, path())).toEqual({
      kind: "unreadable",
      why: "it is no regular file",
    });
  });

  it("that the disk cannot give is unreadable, and its descriptor closed", async () => {
    writeFileSync(path(), "text");
    const before = descriptors();
    const disk = diskWith({ read: () => Promise.reject(errorWith("EIO")) });
    expect(await readSmallFile(disk, path())).toEqual({
      kind: "unreadable",
      why: "it cannot be read: EIO",
    });
    expect(descriptors()).toEqual(before);
  });

  it.each(["EMFILE", "ENFILE", "ENOMEM"])("is not judged by a daemon that has met %s", async (code) => {
    const disk = diskWith({ open: () => Promise.reject(errorWith(code)) });
    await expect(readSmallFile(disk, path())).rejects.toMatchObject({ code });
  });
});

function descriptors(): string[] {
  return readdirSync("/proc/self/fd");
}
