import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { nodeDisk } from "../../src/store/disk";
import { readExitFile } from "../../src/store/exit-file";
import { decodeExit, EXIT_NAME, EXIT_OFFSETS, EXIT_RECORD, fnv1a } from "../../src/store/exit-record";
import { EXIT_FLAGS } from "../../src/tasks/exit-flags";
import type { InitExit } from "../../src/tasks/ports";
import { diskWith, errorWith, stateDirectory } from "./support";

const header = readFileSync(resolve(__dirname, "../../native/exit-record.h"), "utf8");
const source = readFileSync(resolve(__dirname, "../../native/record.c"), "utf8");

const SIZES: Readonly<Record<string, number>> = { uint32_t: 4, int32_t: 4, uint64_t: 8 };

describe("the exit record in TypeScript is that of native/exit-record.h", () => {
  it("has its magic number, version, name and size", () => {
    expect(header).toContain(`#define EXIT_RECORD_MAGIC 0x${EXIT_RECORD.MAGIC.toString(16)}u `);
    expect(header).toContain(`#define EXIT_RECORD_VERSION ${EXIT_RECORD.VERSION}u\n`);
    expect(header).toContain(`#define EXIT_RECORD_NAME "${EXIT_NAME}"\n`);
    expect(header).toContain(`sizeof(struct exit_record) == ${EXIT_RECORD.SIZE},`);
  });

  it("has its flags", () => {
    const found = header.matchAll(/^#define EXIT_(?!RECORD)(\w+) (\d+)u\b/gm);
    expect(Object.fromEntries([...found].map(([, name, value]) => [name, Number(value)]))).toEqual(
      EXIT_FLAGS,
    );
  });

  it("has its fields, where they are", () => {
    const body = /struct exit_record \{([^}]*)\}/.exec(header)?.[1] ?? "";
    let offset = 0;
    const offsets: Record<string, number> = {};
    for (const [, type = "", name = ""] of body.matchAll(/^\s*(\w+) (\w+);/gm)) {
      offsets[name] = offset;
      offset += SIZES[type] ?? NaN;
    }
    expect(offsets).toEqual(EXIT_OFFSETS);
    expect(offset).toBe(EXIT_RECORD.SIZE);
  });

  it("has its checksum: FNV-1a of 64 bits", () => {
    expect(fnv1a(Buffer.from(""))).toBe(0xcbf29ce484222325n);
    expect(fnv1a(Buffer.from("foobar"))).toBe(0x85944171f73967e8n);
    expect(source).toContain("0xcbf29ce484222325u");
    expect(source).toContain("hash = (hash ^ bytes[i]) * 0x100000001b3u;");
  });
});

describe("exit records that former inits have written, which may run on under this daemon", () => {
  const KEPT = resolve(__dirname, "../fixtures/exit-records");
  const NO_LIMIT = { limited: false, overrun: undefined, stdoutDroppedBytes: 0n, stderrDroppedBytes: 0n };

  it.each<[string, Partial<InitExit>]>([
    [
      "1/exited",
      {
        ...NO_LIMIT,
        ended: true,
        started: true,
        waitStatus: 7 << 8,
        startedNs: 1_795_975_864_645_562_182n,
        exitedNs: 1_795_975_864_646_188_194n,
        cpuUserUs: 0n,
        cpuSystemUs: 1540n,
        memoryPeakBytes: 1_589_248n,
      },
    ],
    ["1/signalled", { ...NO_LIMIT, ended: true, started: true, waitStatus: 11, cpuUserUs: 2020n }],
    ["1/timed-out", { ended: true, started: true, limited: true, overrun: "timeout", waitStatus: 9 }],
    ["1/running", { ended: false, started: true, limited: true, startedNs: 1_795_975_865_550_179_116n }],
  ])("%s is read", (name, exit) => {
    expect(decodeExit(readFileSync(join(KEPT, name)))).toMatchObject({ kind: "exit", exit });
  });
});

/** Field n has the value n, but for those that say what the record is. */
function written(flags: number, waitStatus = 9): Buffer {
  const bytes = Buffer.alloc(EXIT_RECORD.SIZE);
  Object.values(EXIT_OFFSETS).forEach((offset, n) => {
    if (offset >= 16) bytes.writeBigUInt64LE(BigInt(n), offset);
  });
  bytes.writeUInt32LE(EXIT_RECORD.MAGIC, EXIT_OFFSETS.magic);
  bytes.writeUInt32LE(EXIT_RECORD.VERSION, EXIT_OFFSETS.version);
  bytes.writeUInt32LE(flags, EXIT_OFFSETS.flags);
  bytes.writeInt32LE(waitStatus, EXIT_OFFSETS.wait_status);
  return sealed(bytes);
}

function sealed(bytes: Buffer): Buffer {
  bytes.writeBigUInt64LE(fnv1a(bytes.subarray(0, EXIT_OFFSETS.checksum)), EXIT_OFFSETS.checksum);
  return bytes;
}

describe("an exit record", () => {
  it("says what init has seen", () => {
    expect(decodeExit(written(EXIT_FLAGS.ENDED | EXIT_FLAGS.STARTED, -1))).toEqual({
      kind: "exit",
      exit: {
        waitStatus: -1,
        ended: true,
        started: true,
        limited: false,
        overrun: undefined,
        outputTruncated: false,
        startedNs: 4n,
        exitedNs: 5n,
        stdoutDroppedBytes: 8n,
        stderrDroppedBytes: 9n,
        cpuUserUs: 10n,
        cpuSystemUs: 11n,
        memoryPeakBytes: 12n,
      },
    });
  });

  it.each([
    [0, { ended: false, started: false, overrun: undefined }],
    [EXIT_FLAGS.STARTED, { ended: false, started: true, overrun: undefined }],
    [EXIT_FLAGS.ENDED, { ended: true, started: false, overrun: undefined }],
    [EXIT_FLAGS.STARTED | EXIT_FLAGS.TIMED_OUT, { ended: false, started: true, overrun: "timeout" }],
    [EXIT_FLAGS.STARTED | EXIT_FLAGS.CPU_TIME, { ended: false, started: true, overrun: "cpu_time" }],
    [
      EXIT_FLAGS.ENDED | EXIT_FLAGS.STARTED | EXIT_FLAGS.OUTPUT_TRUNCATED,
      { ended: true, outputTruncated: true },
    ],
  ])("with flags %p is of a task that is %p", (flags, exit) => {
    expect(decodeExit(written(flags))).toMatchObject({ kind: "exit", exit });
  });

  it.each([EXIT_FLAGS.LET_GO, EXIT_FLAGS.LET_GO | EXIT_FLAGS.LIMITED])(
    "with flags %p is of a task of which nobody knows yet whether it runs",
    (flags) => {
      expect(decodeExit(written(flags))).toEqual({ kind: "undecided" });
      expect(decodeExit(written(flags | EXIT_FLAGS.STARTED))).toMatchObject({ exit: { started: true } });
    },
  );

  it("is refused with any byte that is not its own", () => {
    const whole = written(EXIT_FLAGS.ENDED);
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed.writeUInt8(changed.readUInt8(at) ^ 0x10, at);
      expect([at, decodeExit(changed).kind]).toEqual([at, "unreadable"]);
    }
  });

  it("is refused at any other size", () => {
    const whole = written(EXIT_FLAGS.ENDED);
    for (let size = 0; size < whole.length; size++) {
      expect(decodeExit(whole.subarray(0, size)).kind).toBe("unreadable");
    }
    expect(decodeExit(Buffer.concat([whole, Buffer.alloc(1)])).kind).toBe("unreadable");
  });

  it("of another version is refused, however well sealed", () => {
    const other = written(EXIT_FLAGS.ENDED);
    other.writeUInt32LE(EXIT_RECORD.VERSION + 1, EXIT_OFFSETS.version);
    expect(decodeExit(sealed(other))).toEqual({
      kind: "unreadable",
      why: "its version is another",
      torn: false,
    });
  });
});

describe("the file of an exit record", () => {
  const made = stateDirectory();
  const path = (): string => join(made.tasks, EXIT_NAME);
  const read = (disk = nodeDisk): ReturnType<typeof readExitFile> => readExitFile(disk, made.tasks);

  it("is read", async () => {
    writeFileSync(path(), written(EXIT_FLAGS.STARTED));
    expect(await read()).toMatchObject({ kind: "exit", exit: { started: true } });
  });

  it("need not be there", async () => {
    expect(await read()).toEqual({ kind: "absent" });
  });

  it("is no link, and no directory", async () => {
    writeFileSync(join(made.tasks, "elsewhere"), written(EXIT_FLAGS.STARTED));
    symlinkSync("elsewhere", path());
    expect(await read()).toMatchObject({ kind: "unreadable", why: "it is a symbolic link" });
    mkdirSync(join(made.tasks, "x", EXIT_NAME), { recursive: true });
    expect(await readExitFile(nodeDisk, join(made.tasks, "x"))).toMatchObject({
      kind: "unreadable",
      why: "it is no regular file",
    });
  });

  it("is read again when init has written it meanwhile", async () => {
    writeFileSync(path(), written(EXIT_FLAGS.STARTED));
    let reads = 0;
    const disk = diskWith({
      read: async (fd, bytes, start, position) => {
        const size = await nodeDisk.read(fd, bytes, start, position);
        if (++reads === 1) bytes.fill(0, EXIT_RECORD.SIZE / 2);
        return size;
      },
    });
    expect(await read(disk)).toMatchObject({ kind: "exit", exit: { started: true } });
    expect(reads).toBe(2);
  });

  it("is not read for ever when its checksum stays wrong", async () => {
    const bytes = written(EXIT_FLAGS.STARTED);
    bytes.fill(0, EXIT_RECORD.SIZE / 2);
    writeFileSync(path(), bytes);
    expect(await read()).toMatchObject({ kind: "unreadable", why: "its checksum is wrong" });
  });

  it("is neither there nor away for a daemon that is out of descriptors", async () => {
    const disk = diskWith({ open: () => Promise.reject(errorWith("EMFILE")) });
    await expect(read(disk)).rejects.toMatchObject({ code: "EMFILE" });
  });
});
