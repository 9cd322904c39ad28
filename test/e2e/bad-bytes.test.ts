/** Requests that no client library would send, byte by byte: refused, and nothing is changed. */
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

import { StockadeError, TaskState } from "../../src/client";
import { TestDaemon } from "../support/daemon";
import { exited } from "../support/exits";
import { footprint } from "../support/footprint";

let daemon: TestDaemon;
let raw: Client;
/** A task that waits for Start while all of it goes on. */
let waiting: string;
let untouched: string[];

beforeAll(async () => {
  daemon = await TestDaemon.start();
  waiting = await daemon.configure({ command: "/bin/true" });
  untouched = footprint(daemon);
  raw = new Client(daemon.daemon.address, credentials.createInsecure());
});

afterEach(() => {
  expect(footprint(daemon)).toEqual(untouched);
});

afterAll(async () => {
  raw?.close();
  await daemon?.[Symbol.asyncDispose]();
});

/** The error that bytes sent to a method are answered with. */
function answer(method: string, bytes: Uint8Array): Promise<StockadeError> {
  const pass = (buffer: Buffer): Buffer => buffer;
  const path = `/executor.v1.ExecutorService/${method}`;
  const call = raw.makeServerStreamRequest(path, pass, pass, Buffer.from(bytes));
  let bytesAnswered = 0;
  call.on("data", (part: Buffer) => (bytesAnswered += part.length));
  return new Promise((resolve, reject) => {
    call.on("error", (error) => resolve(new StockadeError(error as ServiceError)));
    call.on("end", () => reject(new Error(`it was answered with ${bytesAnswered} bytes`)));
  });
}

type Write = (writer: BinaryWriter) => unknown;

function bytesOf(...writes: readonly Write[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const write of writes) write(writer);
  return writer.finish();
}

const text =
  (field: number, value: string): Write =>
  (writer) =>
    writer.tag(field, WireType.LengthDelimited).string(value);
const bytes =
  (field: number, value: Uint8Array): Write =>
  (writer) =>
    writer.tag(field, WireType.LengthDelimited).bytes(value);
const varint =
  (field: number, value: bigint): Write =>
  (writer) =>
    writer.tag(field, WireType.Varint).int64(value);
const message = (field: number, ...writes: readonly Write[]): Write => bytes(field, bytesOf(...writes));
const plain =
  (...values: readonly number[]): Write =>
  (writer) =>
    writer.raw(Uint8Array.from(values));

/** A ConfigureRequest that would be taken, and what is added to it. */
const configure = (...more: readonly Write[]): Write[] => [
  text(1, "bytes"),
  text(2, "task"),
  text(3, "/bin/true"),
  varint(18, 1n),
  ...more,
];
/** A RunRequest of it. */
const run = (inConfigure: readonly Write[], ...more: readonly Write[]): Write[] => [
  message(1, ...configure(...inConfigure)),
  ...more,
];
const task = (...more: readonly Write[]): Write[] => [(writer) => text(1, waiting)(writer), ...more];

const MIN_INT64 = -(2n ** 63n);

type Row = readonly [method: string, what: string, writes: readonly Write[], reason: string, field: string];

const FIELDS: readonly Row[] = [
  ["Run", "nothing at all", [], "FIELD_MISSING", "configure"],
  ["Run", "a number for configure", [varint(1, 7n)], "FIELD_MISSING", "configure"],
  ["Run", "fields that no version has", [text(500, "x")], "FIELD_MISSING", "configure"],
  ["Run", "an empty configure", [message(1)], "FIELD_MISSING", "configure.alloc_id"],
  ["Run", "a number for a name", [message(1, varint(1, 7n))], "FIELD_MISSING", "configure.alloc_id"],
  ["Run", "an unknown chroot_method", run([varint(12, 77n)]), "FIELD_INVALID", "configure.chroot_method"],
  [
    "Run",
    "an unknown network mode",
    run([message(14, varint(1, -1n))]),
    "FIELD_INVALID",
    "configure.network.mode",
  ],
  [
    "Run",
    "a timeout of -2^63 s",
    run([message(19, varint(1, MIN_INT64))]),
    "FIELD_INVALID",
    "configure.timeout",
  ],
  [
    "Run",
    "a timeout of 2^63 - 1 s",
    run([message(19, varint(1, -MIN_INT64 - 1n))]),
    "FIELD_INVALID",
    "configure.timeout",
  ],
  ["Run", "an empty timeout", run([message(19)]), "FIELD_INVALID", "configure.timeout"],
  [
    "Run",
    "a cpu_time_limit of -1 ns",
    run([message(20, varint(2, -1n))]),
    "FIELD_INVALID",
    "configure.cpu_time_limit",
  ],
  ["Run", "a label without a key", run([message(21, text(2, "x"))]), "FIELD_INVALID", "configure.labels"],
  ["Run", "a request_id that is a NUL", run([text(22, "\0")]), "FIELD_INVALID", "configure.request_id"],
  ["Run", "empty resources", run([], message(2)), "FIELD_MISSING", "resources"],
  ["Run", "a number for resources' text", run([], message(2, varint(5, 1n))), "FIELD_MISSING", "resources"],
  [
    "Run",
    "a memory_bytes of 2^64 - 1",
    run([], message(2, varint(1, -1n))),
    "FIELD_INVALID",
    "resources.memory_bytes",
  ],
  ["Run", "an empty file", run([], message(4)), "FIELD_MISSING", "files[0].path"],
  [
    "Run",
    "a file's mode of 2^32 - 1",
    run([], message(4, text(1, "/local/a"), varint(3, 0xffff_ffffn))),
    "FIELD_INVALID",
    "files[0].mode",
  ],
  ["Run", "an empty path to collect", run([], message(5)), "FIELD_MISSING", "collect[0].path"],
  [
    "Run",
    "a max_bytes of 2^64 - 1",
    run([], message(5, text(1, "/local/a"), varint(2, -1n))),
    "FIELD_INVALID",
    "collect[0].max_bytes",
  ],
  ["Run", "an empty heartbeat_interval", run([], message(8)), "FIELD_INVALID", "heartbeat_interval"],
  [
    "Run",
    "a heartbeat_interval of -2^63 s",
    run([], message(8, varint(1, MIN_INT64))),
    "FIELD_INVALID",
    "heartbeat_interval",
  ],
  [
    "Configure",
    "a timeout of -2^63 s",
    configure(message(19, varint(1, MIN_INT64))),
    "FIELD_INVALID",
    "timeout",
  ],
  ["Configure", "an unknown chroot_method", configure(varint(12, 77n)), "FIELD_INVALID", "chroot_method"],
  ["Logs", "nothing at all", [], "FIELD_MISSING", "id"],
  ["Logs", "a number for an id", [varint(1, 7n)], "FIELD_MISSING", "id"],
  ["Logs", "an id that is a NUL", [text(1, "\0")], "FIELD_INVALID", "id"],
  ["Logs", "an unknown stream", task(varint(2, 3n)), "FIELD_INVALID", "streams[0]"],
  [
    "Logs",
    "packed streams, the last unknown",
    task(bytes(2, Uint8Array.of(1, 2, 9))),
    "FIELD_INVALID",
    "streams[2]",
  ],
  ["Logs", "an end that is false", task(varint(4, 0n)), "FIELD_INVALID", "end"],
  ["Logs", "an empty heartbeat_interval", task(message(7)), "FIELD_INVALID", "heartbeat_interval"],
  ["Get", "nothing at all", [], "FIELD_MISSING", "id"],
  ["Get", "a number for an id", [varint(1, 7n)], "FIELD_MISSING", "id"],
  ["Get", "a path for an id", [text(1, "/etc/passwd")], "FIELD_INVALID", "id"],
  ["Delete", "nothing at all", [], "FIELD_MISSING", "id"],
  ["Delete", "an id that is a NUL", [text(1, "\0")], "FIELD_INVALID", "id"],
  ["List", "an unknown state", [varint(1, 99n)], "FIELD_INVALID", "states[0]"],
  ["List", "a state of -1", [varint(1, -1n)], "FIELD_INVALID", "states[0]"],
  [
    "List",
    "packed states, the first never sent",
    [bytes(1, Uint8Array.of(0, 4))],
    "FIELD_INVALID",
    "states[0]",
  ],
  ["List", "a label without a key", [message(2, text(2, "x"))], "FIELD_INVALID", "labels"],
  ["List", "an alloc_id that is a NUL", [text(3, "\0")], "FIELD_INVALID", "alloc_id"],
  ["List", "a page_size of -2^31", [varint(4, -(2n ** 31n))], "FIELD_INVALID", "page_size"],
  ["List", "a page_token that is a NUL", [text(5, "\0")], "FIELD_INVALID", "page_token"],
];

it.each(FIELDS)("%s refuses %s, by the name of the field", async (method, _what, writes, reason, field) => {
  const error = await answer(method, bytesOf(...writes));
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason, field });
});

describe("what is no message", () => {
  const METHODS = ["Run", "Logs", "Get", "List", "Delete", "GetServerInfo"];

  const ANYWHERE: readonly (readonly [what: string, bytes: readonly number[]])[] = [
    ["a tag that does not end", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ["a tag that is cut off", [0x8a]],
    ["a tag of field 0", [0x02, 0x01, 0x41]],
    ["a tag of nothing, and more", [0x00, 0x41]],
    ["a wire type that is none", [0x0f]],
    ["the end of a group that has not begun", [0x0c, 0x41]],
    ["a group that does not end", [0xfb, 0x07, 0x08]],
    ["groups in groups, too many", new Array<number>(20_000).fill(0xfb).flatMap((byte) => [byte, 0x07])],
    ["a field of a length beyond the end", [0xfa, 0x07, 0x7f, 0x41]],
    ["a field of 4 GiB", [0xfa, 0x07, 0xff, 0xff, 0xff, 0xff, 0x0f]],
    ["eight bytes of which there are two", [0xf9, 0x07, 0x01, 0x02]],
  ];

  it.each(METHODS.flatMap((method) => ANYWHERE.map(([what, raws]) => [method, what, raws] as const)))(
    "is refused by %s: %s",
    async (method, _what, raws) => {
      expect((await answer(method, Uint8Array.from(raws))).code).toBe("INTERNAL");
    },
  );

  it("is refused by Run before it is made: two million files of nothing", async () => {
    const flood = Buffer.alloc(4 << 20)
      .fill(Buffer.of(0x22, 0x00))
      .subarray(0, -64);
    expect(await answer("Run", flood)).toMatchObject({ reason: "FIELD_INVALID", field: "files" });
  });

  const NOT_UTF8 = Uint8Array.of(0x2f, 0x6c, 0x6f, 0x63, 0x61, 0x6c, 0x2f, 0xff);

  it.each<readonly [method: string, what: string, writes: readonly Write[]]>([
    ["Run", "a file's path that is not UTF-8", run([], message(4, bytes(1, NOT_UTF8)))],
    ["Run", "an argument that is not UTF-8", run([bytes(4, NOT_UTF8)])],
    [
      "Run",
      "a value in env that is half a character",
      run([message(6, text(1, "A"), bytes(2, Uint8Array.of(0xc3)))]),
    ],
    [
      "Run",
      "a label that is a surrogate",
      run([message(21, text(1, "a"), bytes(2, Uint8Array.of(0xed, 0xa0, 0x80)))]),
    ],
    ["Configure", "a command that is not UTF-8", configure(bytes(3, NOT_UTF8))],
    ["Logs", "an id that is not UTF-8", [bytes(1, NOT_UTF8)]],
    ["Get", "an id that is not UTF-8", [bytes(1, NOT_UTF8)]],
    ["List", "a page_token that is not UTF-8", [bytes(5, NOT_UTF8)]],
    ["Delete", "an id that is not UTF-8", [bytes(1, NOT_UTF8)]],
    ["Run", "a configure that is cut off", [plain(0x0a, 0x7f, 0x0a, 0x01, 0x61)]],
    ["Logs", "an id that is cut off", [plain(0x0a, 0x7f, 0x41)]],
    ["Start", "an id, and bytes that nobody would look at", task(plain(0x00, 0x41))],
    ["ForceStop", "an id, and the end of a group", task(plain(0x0c))],
    ["Delete", "an id, and a length beyond the end", task(plain(0x12, 0x7f))],
  ])("is refused by %s: %s", async (method, _what, writes) => {
    expect((await answer(method, bytesOf(...writes))).code).toBe("INTERNAL");
  });
});

it.each([
  ["state", (): object => ({ states: [TaskState.TASK_STATE_CONFIGURED] })],
  ["label", (): object => ({ labels: { other: "1" } })],
  ["alloc", (): object => ({ allocId: "t0" })],
])("a page_token is good for no other %s, and none of its bytes for another", async (_what, other) => {
  const second = await daemon.configure({ command: "/bin/true" });
  const { nextPageToken } = await daemon.client.list({ pageSize: 1 });
  const whole = Buffer.from(nextPageToken, "base64url");
  expect(whole.length).toBe(32);
  const refusal = { code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", field: "page_token" };
  const ask = (pageToken: string, more: object = {}): Promise<unknown> =>
    daemon.client.list({ ...more, pageSize: 1, pageToken }).catch((error: unknown) => error);
  expect(await ask(nextPageToken, other())).toMatchObject(refusal);
  for (let at = 16; at < 32; at++) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(await ask(changed.toString("base64url"))).toMatchObject(refusal);
  }
  await daemon.client.forceStop(second);
  await daemon.client.delete(second);
  untouched = footprint(daemon);
});

it("after all of it the daemon serves on, and the waiting task is as it was", async () => {
  await daemon.client.start(waiting);
  expect((await daemon.client.wait(waiting)).exit).toMatchObject(exited(0));
  untouched = footprint(daemon);
});
