/** Requests that no client library would send, byte by byte: refused, and nothing is changed. */
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";

import { StockadeError, TaskState } from "../../src/client";
import { nameOf, pathsIn, REQUEST_FIELDS, type FieldPath } from "../support/api-fields";
import { BYTES, configure, run, task } from "../support/bad-requests/bytes";
import { TestDaemon } from "../support/daemon";
import { exited } from "../support/exits";
import { footprint } from "../support/footprint";
import { bytes, bytesOf, fixed, message, plain, text, type Write } from "../support/wire-writer";

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

it.each(BYTES)("%s refuses %s, by the name of the field", async (method, _what, writes, reason, field) => {
  const error = await answer(method, bytesOf(writes, waiting));
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason, field });
});

/** Of every field of every request, and of the messages in it. */
const OTHER_TYPES = [...REQUEST_FIELDS].flatMap(([method, fields]) =>
  pathsIn(fields).map((path) => [method, nameOf(path), path] as const),
);

/** The last field of a path, of a type that it has not, in the messages that it is in. */
function ofOtherType([{ number }, ...within]: FieldPath): Write {
  const [next, ...rest] = within;
  return next === undefined ? fixed(number) : message(number, ofOtherType([next, ...rest]));
}

it.each(OTHER_TYPES)(
  "%s refuses another type for %s, by the name of the field",
  async (method, field, path) => {
    const error = await answer(method, bytesOf([ofOtherType(path)]));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", field });
  },
);

describe("what is no message", () => {
  const METHODS = [...REQUEST_FIELDS.keys()];

  const ANYWHERE: readonly (readonly [what: string, bytes: readonly number[]])[] = [
    ["a tag that does not end", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ["a tag that is cut off", [0x8a]],
    ["a tag of field 0", [0x02, 0x01, 0x41]],
    ["a tag of nothing, and more", [0x00, 0x41]],
    ["a wire type that is none", [0x0f]],
    ["the end of a group that has not begun", [0xfc, 0x07]],
    ["a group that does not end", [0xfb, 0x07, 0x08]],
    ["groups in groups, too many", new Array<number>(20_000).fill(0xfb).flatMap((byte) => [byte, 0x07])],
    ["a field of a length beyond the end", [0xfa, 0x07, 0x7f, 0x41]],
    ["a field of a length that is cut off", [0xfa, 0x07, 0xff]],
    ["a field of 4 GiB", [0xfa, 0x07, 0xff, 0xff, 0xff, 0xff, 0x0f]],
    ["a number that is cut off", [0xf8, 0x07, 0xff]],
    ["eight bytes of which there are two", [0xf9, 0x07, 0x01, 0x02]],
    ["a thousand fields and more", new Array<number>(1025).fill(0xf8).flatMap((byte) => [byte, 0x07, 0x01])],
  ];

  it.each(METHODS.flatMap((method) => ANYWHERE.map(([what, raws]) => [method, what, raws] as const)))(
    "is refused by %s: %s",
    async (method, _what, raws) => {
      const error = await answer(method, Uint8Array.from(raws));
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "FIELD_INVALID" });
      expect(error.message).toContain("not a message of this API");
    },
  );

  it("is refused by Run before it is made: two million files of nothing", async () => {
    const flood = Buffer.alloc(4 << 20)
      .fill(Buffer.of(0x22, 0x00))
      .subarray(0, -64);
    expect(await answer("Run", flood)).toMatchObject({ reason: "FIELD_INVALID", field: "files" });
  });

  const NOT_UTF8 = Uint8Array.of(0x2f, 0x6c, 0x6f, 0x63, 0x61, 0x6c, 0x2f, 0xff);
  const ofId = (
    what: string,
    write: Write,
  ): (readonly [method: string, what: string, writes: readonly Write[], field: string])[] =>
    ["Limit", "Start", "Wait", "Shutdown", "ForceStop", "Open", "Get", "Delete", "Logs"].map(
      (method) => [method, what, [write], "id"] as const,
    );

  it.each<readonly [method: string, what: string, writes: readonly Write[], field: string | undefined]>([
    ...ofId("an id that is not UTF-8", bytes(1, NOT_UTF8)),
    ...ofId("an id that is cut off", plain(0x0a, 0x7f, 0x41)),
    [
      "Run",
      "a file's path that is not UTF-8",
      run([], message(4, text(1, "/local/a")), message(4, bytes(1, NOT_UTF8))),
      "files[1].path",
    ],
    ["Run", "an argument that is not UTF-8", run([text(4, "a"), bytes(4, NOT_UTF8)]), "configure.args[1]"],
    [
      "Run",
      "a value in env that is half a character",
      run([message(6, text(1, "A"), bytes(2, Uint8Array.of(0xc3)))]),
      "configure.env",
    ],
    [
      "Run",
      "a label that is a surrogate",
      run([message(21, text(1, "a"), bytes(2, Uint8Array.of(0xed, 0xa0, 0x80)))]),
      "configure.labels",
    ],
    ["Configure", "a command that is not UTF-8", configure(bytes(3, NOT_UTF8)), "command"],
    [
      "Configure",
      "a mount's source that is not UTF-8",
      configure(message(13, bytes(1, NOT_UTF8))),
      "mounts[0].source",
    ],
    ["Shutdown", "a signal that is not UTF-8", task(bytes(2, NOT_UTF8)), "signal"],
    [
      "Limit",
      "a cpuset_cpus that is not UTF-8",
      task(message(2, bytes(5, NOT_UTF8))),
      "resources.cpuset_cpus",
    ],
    ["List", "a page_token that is not UTF-8", [bytes(5, NOT_UTF8)], "page_token"],
    ["Run", "a configure that is cut off", [plain(0x0a, 0x7f, 0x0a, 0x01, 0x61)], "configure"],
    [
      "Run",
      "a configure that ends in a name",
      [message(1, plain(0x0a, 0x7f, 0x41)), text(500, "x".repeat(127))],
      "configure.alloc_id",
    ],
    [
      "Limit",
      "resources that end in a number",
      task(message(2, plain(0x08, 0xff)), text(500, "x")),
      "resources",
    ],
    ["Start", "an id, and bytes that nobody would look at", task(plain(0x00, 0x41)), undefined],
    ["ForceStop", "an id, and the end of a group", task(plain(0x0c)), "id"],
    ["Delete", "an id, and a length beyond the end", task(plain(0x12, 0x7f)), undefined],
  ])("is refused by %s: %s", async (method, _what, writes, field) => {
    const error = await answer(method, bytesOf(writes, waiting));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "FIELD_INVALID" });
    expect(error.field).toBe(field);
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
