import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { decodeRecord, encodeRecord } from "../../src/store/record-format";
import type { TaskRecord } from "../../src/tasks/ports";
import { exitOf, recordOf, UUID_A, UUID_B } from "./support";

const KEPT = join(__dirname, "../fixtures/records");

const USAGE = {
  cpuUserUs: 1n,
  cpuSystemUs: 2n,
  memoryPeakBytes: 3n,
  pidsPeak: 4n,
  ioReadBytes: 5n,
  ioWriteBytes: 6n,
};

const LIMITS = {
  memoryBytes: 2n ** 63n - 1n,
  memoryReservationBytes: 1_048_576n,
  cpuShares: 1024n,
  cpuMillis: 1500n,
  cpusetCpus: "0-2,4",
  ioWeight: 100n,
  pidsMax: 64n,
};

const LABELS = new Map([
  ["team", "blue"],
  ["example.org/role", 'öffentlich "1"'],
  ["constructor", ""],
]);

const REQUEST = {
  id: "order 66",
  digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  unenforced: [{ name: "cgroup", reason: "no controller is mounted" }],
  limited: undefined,
};

const LIMITED = {
  effective: LIMITS,
  unenforced: [{ name: "io_weight", reason: "no disk can weigh its users" }],
};

/** What the records that are kept in the repository say, by version; "next": of a minor version that is to come. */
const RECORDS: Readonly<Record<string, TaskRecord>> = {
  "1.0/configuring": recordOf(UUID_A, { id: "", cgroup: undefined, processes: undefined }),
  "1.0/running": recordOf(UUID_A, { limits: LIMITS }),
  "1.0/without-cgroup": recordOf(UUID_A, {
    id: `PID:4711:${UUID_A}`,
    cgroup: undefined,
    chrootMethod: "link",
  }),
  "1.0/in-its-grace-period": recordOf(UUID_A, { cause: "shutdown_grace", graceEndsNs: 98_765_432_100n }),
  "1.0/exited": recordOf(UUID_A, {
    exit: exitOf({ usage: USAGE, stdoutDroppedBytes: 8n, stderrDroppedBytes: 9n }),
  }),
  "1.0/signalled": recordOf(UUID_A, {
    killSent: true,
    exit: exitOf({ status: { kind: "signal", signal: 11 }, reason: "SIGNALED", coreDumped: true }),
  }),
  "1.0/out-of-memory": recordOf(UUID_A, {
    limits: { memoryBytes: 1_048_576n },
    exit: exitOf({ status: { kind: "signal", signal: 9 }, reason: "OOM_KILLED", oomKilled: true }),
  }),
  "1.0/lost": recordOf(UUID_A, { exit: exitOf({ status: { kind: "unknown" }, reason: "LOST" }) }),
  "1.0/never-started": recordOf(UUID_A, {
    cause: "never_started",
    exit: exitOf({ status: { kind: "unknown" }, reason: "NEVER_STARTED", startedNs: undefined }),
  }),
  "1.1/labelled": recordOf(UUID_A, { labels: LABELS, request: REQUEST, exit: exitOf() }),
  "2.0/owned": recordOf(UUID_A, {
    allocId: "ci.1@web.1",
    owner: { name: "ci.1", group: "builds" },
    limits: LIMITS,
  }),
  "1.2/output-truncated": recordOf(UUID_A, { exit: exitOf({ outputTruncated: true }) }),
  "1.3/answered": recordOf(UUID_A, { request: { ...REQUEST, limited: LIMITED } }),
  "2.1/answered": recordOf(UUID_A, {
    allocId: "ci.1@web.1",
    owner: { name: "ci.1", group: undefined },
    request: { ...REQUEST, limited: { effective: {}, unenforced: [] } },
  }),
  "next/with-more-fields": recordOf(UUID_A, { limits: { pidsMax: 64n }, exit: exitOf() }),
};

describe("records that former daemons have written", () => {
  const kept = readdirSync(KEPT).flatMap((version) =>
    readdirSync(join(KEPT, version)).map((name) => `${version}/${name}`),
  );

  it("are all known to this test", () => {
    expect(kept.sort()).toEqual(Object.keys(RECORDS).sort());
  });

  it.each(Object.entries(RECORDS))("%s is read", (name, record) => {
    expect(decodeRecord(readFileSync(join(KEPT, name)), UUID_A)).toEqual({ kind: "record", record });
  });
});

describe("a record", () => {
  it.each(Object.entries(RECORDS))("like %s is read back as it was written", (_name, record) => {
    expect(decodeRecord(encodeRecord(record), UUID_A)).toEqual({ kind: "record", record });
  });

  it("is text for people: a line that says what it is, and a document", () => {
    const text = encodeRecord(recordOf(UUID_A)).toString();
    const body = text.slice(text.indexOf("\n") + 1);
    expect(text.split("\n")[0]).toBe(`stockade-record 1.3 sha256:${sha256(body)}`);
    expect(JSON.parse(body)).toMatchObject({ uuid: UUID_A, configuredNs: "1795800000123456789" });
    expect(body).toMatch(/^\{\n {2}"id": "CGROUP:/);
    expect(body).toMatch(/\n\}\n$/);
  });

  it.each(Object.keys(RECORDS).filter((name) => name.startsWith("1.")))(
    "like %s has all that a reader of that version looks for, as that one wrote it",
    (name) => {
      const kept = readFileSync(join(KEPT, name));
      const written = encodeRecord(RECORDS[name] ?? recordOf(UUID_A));
      expect(written.toString()).toMatch(/^stockade-record 1\./);
      expect(within(bodyOf(written), bodyOf(kept))).toEqual(bodyOf(kept));
    },
  );

  it("in which a reader of a former version would see a damaged one has a newer major version", () => {
    const owned = recordOf(UUID_A, { allocId: "ci.1@web.1", owner: { name: "ci.1", group: undefined } });
    expect(encodeRecord(owned).toString()).toMatch(/^stockade-record 2\.1 /);
  });

  it("of a longest task is smaller than what is read of a file", () => {
    const cgroup = `/${"c".repeat(4000)}/${UUID_A}`;
    const cpusetCpus = "0,".repeat(2047) + "0";
    const longest = recordOf(UUID_A, {
      id: `CGROUP:${cgroup}`,
      cgroup,
      limits: { ...LIMITS, cpusetCpus },
      exit: exitOf({ usage: USAGE }),
    });
    expect(encodeRecord(longest).length).toBeLessThan(65_536 / 4);
    const labels = new Map(
      Array.from({ length: 64 }, (_, index) => [`${index}`.padEnd(128, "k"), '"'.repeat(256)]),
    );
    const limited = { ...LIMITED, effective: { ...LIMITS, cpusetCpus } };
    const request = { ...REQUEST, id: '"'.repeat(128), limited };
    const labelled = encodeRecord({ ...longest, labels, request });
    expect(labelled.length).toBeLessThan(65_536 - 4096);
    expect(decodeRecord(labelled, UUID_A).kind).toBe("record");
    expect(decodeRecord(encodeRecord(longest), UUID_A).kind).toBe("record");
  });
});

describe("what is no record", () => {
  const whole = encodeRecord(recordOf(UUID_A, { owner: { name: "a", group: "b" }, exit: exitOf() }));

  it("is one that was cut off, anywhere", () => {
    for (let length = 0; length < whole.length; length++) {
      expect([length, decodeRecord(whole.subarray(0, length), UUID_A).kind]).toEqual([length, "unreadable"]);
    }
  });

  it("is one with a byte that is not its own, anywhere after its version", () => {
    for (let at = "stockade-record 1.3".length; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      expect([at, decodeRecord(changed, UUID_A).kind]).toEqual([at, "unreadable"]);
    }
  });

  it("is one with something after it", () => {
    expect(decodeRecord(Buffer.concat([whole, Buffer.from("\n")]), UUID_A).kind).toBe("unreadable");
  });

  it.each([
    ["empty", Buffer.alloc(0), "it is empty"],
    ["zeroes", Buffer.alloc(4096), "it does not begin as a record does"],
    ["another program's", Buffer.from("{}\n"), "it does not begin as a record does"],
    [
      "a major version before the first",
      Buffer.from("stockade-record 0.9 x\n"),
      "no daemon has written its version",
    ],
    [
      "a checksum of another kind",
      Buffer.from("stockade-record 1.0 md5:0\n{}"),
      "its checksum is wrong: it was cut off, or changed",
    ],
    ["no JSON", withBody("secret"), "it is no JSON document"],
    ["a list", withBody("[]"), "the document is no object"],
    ["null", withBody("null"), "the document is no object"],
  ])("is what is %s", (_name, bytes, why) => {
    expect(decodeRecord(bytes, UUID_A)).toEqual({ kind: "unreadable", why });
  });

  it("is another task's", () => {
    expect(decodeRecord(whole, UUID_B)).toEqual({
      kind: "unreadable",
      why: "uuid is not the directory's name",
    });
  });
});

it("a record of a newer major version is known as that, whatever follows", () => {
  expect(decodeRecord(Buffer.from("stockade-record 3.0 blake3:00\n\0\0"), UUID_A)).toEqual({
    kind: "newer",
    version: "3.0",
  });
  expect(decodeRecord(Buffer.from("stockade-record 10.7\n"), UUID_A)).toEqual({
    kind: "newer",
    version: "10.7",
  });
});

describe("a field", () => {
  const NULLABLE = [
    "request",
    "request.limited",
    "cgroup",
    "processes",
    "cause",
    "graceEndsNs",
    "exit",
    "exit.startedNs",
    "owner",
    "owner.group",
  ];
  // A value in every field that can have one.
  const whole = documentOf(
    recordOf(UUID_A, {
      labels: new Map([["team", "blue"]]),
      request: { ...REQUEST, limited: LIMITED },
      owner: { name: "a", group: "b" },
      limits: LIMITS,
      exit: exitOf({ usage: USAGE }),
    }),
  );

  it("is right in all of them", () => {
    expect(decodeRecord(withBody(JSON.stringify(whole)), UUID_A).kind).toBe("record");
  });

  it.each(pathsOf(whole).filter((path) => !isOptional(path)))("%s has to be there", (path) => {
    expect(decodeRecord(withBody(without(whole, path)), UUID_A)).toEqual({
      kind: "unreadable",
      why: `${path} is missing`,
    });
  });

  it.each(pathsOf(whole))("%s has to have its type", (path) => {
    for (const value of [[], {}, -1, 1.5, 1e9, "no \0 such", true, undefined]) {
      const old = at(whole, path);
      if (typeof value === "boolean" ? typeof old === "boolean" : value === undefined) continue;
      if (
        isEmptyObject(value) &&
        ["labels", "limits", "request.limited.effective", "exit.usage"].includes(path)
      )
        continue;
      if (Array.isArray(value) && path.startsWith("request.") && path.endsWith("unenforced")) continue;
      const decoded = decodeRecord(withBody(changed(whole, path, value)), UUID_A);
      expect([value, decoded]).toEqual([
        value,
        { kind: "unreadable", why: expect.stringMatching(new RegExp(`^${path}[. ]`)) },
      ]);
    }
  });

  it.each(pathsOf(whole).filter((path) => !NULLABLE.includes(path)))("%s cannot be null", (path) => {
    expect(decodeRecord(withBody(changed(whole, path, null)), UUID_A).kind).toBe("unreadable");
  });

  it.each([
    ["id", `CGROUP:/stockade/${UUID_B}`],
    ["id", ""],
    ["id", "PID:1:x"],
    ["labels", { "a b": "" }],
    ["labels", { "": "" }],
    ["labels.team", "a\nb"],
    ["labels.team", "\u009b31m"],
    ["request.id", ""],
    ["request.id", "é"],
    ["request.digest", "9f86"],
    ["request.unenforced", {}],
    ["request.unenforced", ["cgroup"]],
    ["request.unenforced", [{ name: "cgroup" }]],
    ["request.limited", {}],
    ["request.limited.effective", []],
    ["request.limited.effective.cpusetCpus", "0-"],
    ["request.limited.unenforced", [{ name: "io_weight" }]],
    ["cgroup", "/stockade"],
    ["cgroup", `/../${UUID_A}`],
    ["cgroup", `/stockade/./${UUID_A}`],
    ["cgroup", `stockade/${UUID_A}`],
    ["cgroup", `//${UUID_A}`],
    ["allocId", ".."],
    ["allocId", "a/b"],
    ["taskName", "alloc"],
    ["taskName", ""],
    ["chrootMethod", "copy"],
    ["allocId", "@web"],
    ["allocId", "a@b@web"],
    ["owner.name", ""],
    ["owner.name", "a@b"],
    ["owner.group", "a b"],
    ["configuredNs", "18446744073709551616"],
    ["configuredNs", "01"],
    ["configuredNs", "-1"],
    ["configuredNs", "0x10"],
    ["configuredNs", ""],
    ["processes.initPid", 1],
    ["processes.initPid", 0],
    ["processes.commandPid", 1],
    ["processes.commandPid", 4_194_305],
    ["limits.cpusetCpus", "0-"],
    ["limits.cpusetCpus", ""],
    ["cause", "boredom"],
    ["exit.reason", "exited"],
    ["exit.status.kind", "exited"],
    ["exit.status.code", 256],
    ["exit.status.code", -1],
  ])("%s cannot be %p", (path, value) => {
    const decoded = decodeRecord(withBody(changed(whole, path, value)), UUID_A);
    expect(decoded).toEqual({ kind: "unreadable", why: expect.stringMatching(new RegExp(`^${path}[. ]`)) });
  });

  it("that is wrong is named without what is in it", () => {
    const decoded = decodeRecord(withBody(changed(whole, "allocId", "se/cret")), UUID_A);
    expect(JSON.stringify(decoded)).not.toContain("cret");
  });

  it.each([0, 128])("exit.status.signal cannot be %p", (signal) => {
    const body = changed(whole, "exit.status", { kind: "signal", signal });
    expect(decodeRecord(withBody(body), UUID_A).kind).toBe("unreadable");
  });

  it("of Object's own is none of the record's", () => {
    expect(decodeRecord(withBody('{ "__proto__": { "id": "" } }'), UUID_A)).toEqual({
      kind: "unreadable",
      why: "id is missing",
    });
  });
});

type Document = Readonly<Record<string, unknown>>;

function isOptional(path: string): boolean {
  return /^((labels|request|owner|request\.limited)$|request\.(limited\.)?unenforced\.0$|(labels|limits|request\.limited\.effective|exit\.usage)\.|exit\.outputTruncated$)/.test(
    path,
  );
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === "object" && !Array.isArray(value);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function withBody(body: string): Buffer {
  return Buffer.from(`stockade-record 1.0 sha256:${sha256(body)}\n${body}`);
}

function documentOf(record: TaskRecord): Document {
  return bodyOf(encodeRecord(record));
}

function bodyOf(bytes: Buffer): Document {
  const text = bytes.toString();
  return JSON.parse(text.slice(text.indexOf("\n"))) as Document;
}

/** Of a document, the fields that another has too, as a reader who leaves out the rest sees it. */
function within(document: unknown, other: unknown): unknown {
  if (!isEmptyObject(document) || document === null || other === null || other === undefined) return document;
  const known = Object.entries(document as Document).filter(([name]) => name in (other as Document));
  return Object.fromEntries(known.map(([name, value]) => [name, within(value, (other as Document)[name])]));
}

/** Of every field, and of those in it. */
function pathsOf(document: Document, prefix = ""): string[] {
  return Object.entries(document).flatMap(([name, value]) => [
    prefix + name,
    ...(typeof value === "object" && value !== null ? pathsOf(value as Document, `${prefix}${name}.`) : []),
  ]);
}

function at(document: Document, path: string): unknown {
  return path.split(".").reduce<unknown>((value, name) => (value as Document)[name], document);
}

function changed(document: Document, path: string, value: unknown): string {
  const copy = structuredClone(document);
  const names = path.split(".");
  const last = names.pop() ?? "";
  (names.reduce<unknown>((inner, name) => (inner as Document)[name], copy) as Record<string, unknown>)[last] =
    value;
  return JSON.stringify(copy);
}

function without(document: Document, path: string): string {
  return changed(document, path, undefined);
}
