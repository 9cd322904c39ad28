/** Requests of bytes that are made to take long, or to be taken for others. */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

import { checkDecoded, decoded } from "../../src/rpc/decode-request";
import { SHAPES, type Part, type Shape } from "../../src/rpc/request-shape";
import { SERVICE } from "../../src/rpc/service-definition";
import { LOCAL_ADMIN } from "../../src/tasks/access/identity";
import { ARGS_MAX, ENTRIES_MAX, GROUPS_MAX } from "../../src/tasks/request/spec";
import { pathsIn, REQUEST_FIELDS, type ApiField } from "../support/api-fields";

const MESSAGE_BYTES_MAX = 4 * 2 ** 20;

/** A field that holds bytes. */
function field(number: number, content: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.from(new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(content).finish());
}

function varint(number: number, value = 1): Buffer {
  return Buffer.from(new BinaryWriter().tag(number, WireType.Varint).uint32(value).finish());
}

/** As often as there is room for in what is left of a request. */
function flood(part: Buffer, bytes = MESSAGE_BYTES_MAX - 64): Buffer {
  return Buffer.alloc(Math.floor(bytes / part.length) * part.length, part);
}

function refusal(method: keyof typeof SERVICE, bytes: Buffer): unknown {
  try {
    checkDecoded(SERVICE[method].requestDeserialize(bytes));
  } catch (error) {
    return error;
  }
  throw new Error("it is taken");
}

const RUN = 1;

it.each<readonly [string, keyof typeof SERVICE, Buffer, string | undefined]>([
  ["mounts", "configure", flood(field(13)), "mounts"],
  ["mounts of a Run", "run", field(RUN, flood(field(13))), "configure.mounts"],
  ["mounts, each in a configure of its own", "run", flood(field(RUN, field(13))), "configure"],
  ["entries of env", "configure", flood(field(6)), "env"],
  ["entries of chroot", "configure", flood(field(11)), "chroot"],
  ["arguments", "configure", flood(field(4)), "args"],
  ["labels", "list", flood(field(2)), "labels"],
  ["states", "list", flood(varint(1)), "states"],
  ["states in one field", "list", field(1, Buffer.alloc(MESSAGE_BYTES_MAX - 64, 1)), "states"],
  ["files", "run", flood(field(4)), "files"],
  ["resources", "limit", flood(field(2)), "resources"],
  ["names", "configure", flood(field(2)), "task_name"],
  ["numbers", "configure", flood(varint(18)), "allow_unenforced"],
  ["sources of one mount", "configure", field(13, flood(field(1))), "mounts[0].source"],
  ["keys of one entry", "configure", field(6, flood(field(1))), "env"],
  ["seconds of one timeout", "configure", field(19, flood(varint(1))), "timeout.seconds"],
  ["unknown fields", "wait", flood(field(500)), undefined],
  ["fields of a group", "wait", Buffer.concat([Buffer.of((9 << 3) | 3), flood(varint(1))]), undefined],
])("4 MiB of %s are refused before anything is made of them", (_what, method, bytes, name) => {
  refusal(method, bytes);
  const start = process.cpuUsage();
  const error = refusal(method, bytes);
  const { user, system } = process.cpuUsage(start);
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", field: name });
  // Two million objects take some 500 ms.
  expect(user + system).toBeLessThan(100_000);
});

it("what ends beyond the message that it is in is refused", () => {
  const mount = Buffer.concat([Buffer.of((13 << 3) | 2, 2), Buffer.of((1 << 3) | 2, 5), Buffer.alloc(8)]);
  expect(refusal("configure", mount)).toMatchObject({
    field: "mounts[0].source",
    message: expect.stringMatching("a field ends beyond the end") as string,
  });
});

it("as many of each as there may be are taken, all at once", async () => {
  const entry = (number: number, index: number): Buffer => field(number, field(1, Buffer.from(`${index}`)));
  const times = (count: number, make: (index: number) => Buffer): Buffer =>
    Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));
  const configure = Buffer.concat([
    ...[6, 16, 17].map((number) => times(ENTRIES_MAX, (index) => entry(number, index))),
    times(ARGS_MAX, () => field(4)),
    times(GROUPS_MAX, () => field(9)),
    times(1024, () => field(13, Buffer.concat([field(1), field(2), varint(3)]))),
    times(64, (index) => entry(21, index)),
    field(19, varint(1)),
  ]);
  const given = SERVICE.run.requestDeserialize(
    Buffer.concat([field(RUN, configure), times(1024, () => field(4)), times(1024, () => field(5))]),
  );
  const request = await decoded(given, LOCAL_ADMIN, new AbortController().signal);
  expect(request.configure?.env.size).toBe(ENTRIES_MAX);
  expect(request.configure?.supplementaryGroups).toHaveLength(GROUPS_MAX);
  expect([request.files.length, request.collect.length]).toEqual([1024, 1024]);
});

it.each([
  ["command", "alone", field(3, Buffer.alloc(70_000, 0xff))],
  ["task_name", "among many", Buffer.concat([field(3, Buffer.alloc(70_000)), field(2, Buffer.of(0xff))])],
])("of a large request, a bad %s, %s, is refused as of a small one", async (name, _where, bytes) => {
  const given = SERVICE.configure.requestDeserialize(bytes);
  await expect(decoded(given, LOCAL_ADMIN, new AbortController().signal)).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    reason: "FIELD_INVALID",
    field: name,
  });
});

/** The last of each is one that Node's reading of UTF-8 has to tell from what it puts in place of bad bytes. */
it.each([
  ["short", ["", "a", "é\0", "\ufffd"]],
  ["long", ["a".repeat(100), "é𝄞\0".repeat(9), "\ufeff".repeat(9), "\ufffd".repeat(9)]],
])("%s strings are read as they were written", (_, args) => {
  const bytes = Buffer.concat(args.map((arg) => field(4, Buffer.from(arg))));
  expect(SERVICE.configure.requestDeserialize(bytes).args).toEqual(args);
});

it.each([
  ["a byte alone", "ff"],
  ["one that is longer than it need be", "c080"],
  ["half a surrogate pair", "eda080"],
  ["one beyond the last", "f4908080"],
  ["one that breaks off", "e282"],
])("strings with a sequence that is none of UTF-8 are refused, %s", (_, hex) => {
  for (const before of ["", "a".repeat(100), "\ufffd".repeat(9)]) {
    const bytes = field(4, Buffer.concat([Buffer.from(before), Buffer.from(hex, "hex")]));
    expect(refusal("configure", bytes)).toMatchObject({ field: "args[0]" });
  }
});

const TYPES: Readonly<Record<string, Part["of"]>> = { TYPE_STRING: "text", TYPE_BYTES: "bytes" };

describe("the shape of", () => {
  function described(fields: readonly ApiField[]): unknown {
    const parts = fields.map(({ number, name, isMany, type, isMap, fields: within }) => {
      const ofNumbers = isMany ? "numbers" : "number";
      const of = within === undefined ? (TYPES[type] ?? ofNumbers) : described(within);
      return [number, { name, isMany, isMap, isCounted: isMany || within !== undefined, of }];
    });
    return Object.fromEntries(parts);
  }

  function known(shape: Shape): unknown {
    const parts = Object.entries(shape).map(([number, { name, most, isMap, of }]: [string, Part]) => [
      number,
      {
        name,
        isMany: most !== undefined && most > 1,
        isMap: isMap === true,
        isCounted: most !== undefined,
        of: typeof of === "string" ? of : known(of),
      },
    ]);
    return Object.fromEntries(parts);
  }

  it.each([...REQUEST_FIELDS])("%s's request is that of the API", (method, fields) => {
    expect(known(SHAPES[`${method}Request` as keyof typeof SHAPES])).toEqual(described(fields));
  });

  it("a message of numbers has varints alone", () => {
    const types = [...REQUEST_FIELDS.values()].flatMap((fields) =>
      pathsIn(fields).map((path) => path.at(-1)?.type),
    );
    const others = ["STRING", "BYTES", "MESSAGE", "BOOL", "ENUM", "INT32", "INT64", "UINT32", "UINT64"];
    expect(types.filter((type) => !others.includes(type?.slice("TYPE_".length) ?? ""))).toEqual([]);
  });
});
