import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import {
  CREATE_FLAGS,
  MESSAGE_SIZE_MAX,
  MOUNT_FLAGS,
  PROTOCOL_VERSION,
  REMOVE_SCOPES,
  TO_DAEMON,
  TO_LAUNCHER,
  decode,
} from "../../../src/host/helper/protocol";
import { MessageSplitter } from "../../../src/host/helper/message-splitter";
import { BodyReader, BodyTooLarge, BodyWriter } from "../../../src/host/helper/wire";

const header = readFileSync(resolve(__dirname, "../../../native/protocol.h"), "utf8");

function defines(prefix: string): Record<string, number> {
  const found = header.matchAll(new RegExp(`^#define ${prefix}_(\\w+) (\\d+)u\\b`, "gm"));
  return Object.fromEntries([...found].map(([, name, value]) => [name, Number(value)]));
}

function messages(list: string): Record<string, number> {
  const body = new RegExp(`#define ${list}\\(MESSAGE\\)((?:.*\\\\\\n)*.*)`).exec(header)?.[1] ?? "";
  const found = body.matchAll(/MESSAGE\((\w+), (\d+)\)/g);
  return Object.fromEntries([...found].map(([, name, value]) => [name, Number(value)]));
}

function upperCased(scopes: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(scopes).map(([name, n]) => [name.toUpperCase(), n]));
}

describe("the protocol in TypeScript is that of native/protocol.h", () => {
  it("has the same message types", () => {
    expect(messages("TO_LAUNCHER")).toEqual(TO_LAUNCHER);
    expect(messages("TO_DAEMON")).toEqual(TO_DAEMON);
  });

  it("has the same flags and scopes", () => {
    expect(defines("CREATE")).toEqual(CREATE_FLAGS);
    expect(defines("MOUNT")).toEqual(MOUNT_FLAGS);
    expect(defines("REMOVE")).toEqual(upperCased(REMOVE_SCOPES));
  });

  it("has the same version and size", () => {
    expect(header).toContain(`#define PROTOCOL_VERSION ${PROTOCOL_VERSION}\n`);
    expect(header).toContain(`#define MESSAGE_SIZE_MAX (${MESSAGE_SIZE_MAX / 2 ** 20}u << 20)\n`);
  });
});

describe("a body", () => {
  it("is read back as it was written", () => {
    const reader = new BodyReader(
      new BodyWriter()
        .u32(7)
        .u64(2n ** 63n)
        .finish(),
    );
    expect([reader.u32(), reader.u64()]).toEqual([7, 2n ** 63n]);
    reader.end();
  });

  it("grows with what is written into it", () => {
    const text = "ä".repeat(100_000);
    expect(new BodyWriter().string(text).finish()).toHaveLength(4 + 200_000 + 1);
  });

  it("holds as much as a message may be, and no more", () => {
    const most = "x".repeat(MESSAGE_SIZE_MAX - 5);
    expect(new BodyWriter().string(most).finish()).toHaveLength(MESSAGE_SIZE_MAX);
    expect(() => new BodyWriter().string(most).u32(1)).toThrow(BodyTooLarge);
    expect(() => new BodyWriter().string("€".repeat(6_000_000))).toThrow(BodyTooLarge);
  });

  it("takes no string with a NUL", () => {
    expect(() => new BodyWriter().string("a\0b")).toThrow();
  });

  it("is refused when longer or shorter than its fields", () => {
    expect(() => decode(TO_DAEMON.HELLO, Buffer.alloc(9))).toThrow();
    expect(() => decode(TO_DAEMON.HELLO, Buffer.alloc(7))).toThrow();
    expect(() => decode(99, Buffer.alloc(0))).toThrow();
  });
});

describe("an overrun", () => {
  it.each([
    [8, "timeout"],
    [16, "cpu_time"],
  ])("with flags %d is of the %s", (flags, overrun) => {
    const body = new BodyWriter().u32(flags).finish();
    expect(decode(TO_DAEMON.OVERRUN, body)).toEqual({ type: "OVERRUN", overrun });
  });

  it("of no limit is refused", () => {
    for (const flags of [0, 1, 2, 4, 32]) {
      expect(() => decode(TO_DAEMON.OVERRUN, new BodyWriter().u32(flags).finish())).toThrow();
    }
  });
});

describe("the message splitter", () => {
  const hello = Buffer.alloc(24);
  hello.writeUInt32LE(8, 0);
  hello.writeUInt32LE(TO_DAEMON.HELLO, 4);
  hello.writeUInt32LE(PROTOCOL_VERSION, 16);

  it("cuts a stream that comes in pieces of any size", () => {
    for (let size = 1; size <= 40; size++) {
      const got: unknown[] = [];
      const splitter = new MessageSplitter((_task, message) => got.push(message));
      const stream = Buffer.concat([hello, hello, hello]);
      for (let at = 0; at < stream.length; at += size) splitter.push(stream.subarray(at, at + size));
      expect(got).toEqual(Array(3).fill({ type: "HELLO", version: PROTOCOL_VERSION, errno: undefined }));
    }
  });

  it("refuses a message that is too large", () => {
    const splitter = new MessageSplitter(() => undefined);
    expect(() => splitter.push(Buffer.alloc(16, 0xff))).toThrow();
  });
});
