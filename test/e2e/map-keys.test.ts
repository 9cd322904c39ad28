/** Keys of the API's maps that an object of JavaScript's has a meaning of its own for. */
import { Client, credentials, status, type ServiceError } from "@grpc/grpc-js";

import { TestDaemon } from "../support/daemon";
import { exited } from "../support/exits";

const KEYS = ["__proto__", "constructor", "toString"];

let daemon: TestDaemon;
let raw: Client;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  raw = new Client(daemon.daemon.address, credentials.createInsecure());
});

afterEach(() => expect(daemon.leftovers()).toEqual([]));

afterAll(async () => {
  raw?.close();
  await daemon?.[Symbol.asyncDispose]();
});

/** The bytes of a message's field, for content of less than 128. */
function field(number: number, content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  const tag = (number << 3) | 2;
  return Buffer.concat([
    Buffer.from(tag < 128 ? [tag] : [(tag & 127) | 128, tag >> 7]),
    Buffer.from([bytes.length]),
    bytes,
  ]);
}

/** Sends the bytes of a request; answers the bytes of the response, or the code of the error. */
function send(method: string, bytes: Buffer): Promise<Buffer | string> {
  const pass = (buffer: Buffer): Buffer => buffer;
  return new Promise((resolve) => {
    const path = `/executor.v1.ExecutorService/${method}`;
    raw.makeUnaryRequest(path, pass, pass, bytes, (error: ServiceError | null, response?: Buffer) => {
      resolve(error === null ? (response ?? Buffer.alloc(0)) : status[error.code]);
    });
  });
}

const ALLOW_UNENFORCED = Buffer.from([0x90, 1, 1]);

function request(name: string, entry: Buffer): Buffer {
  const script = "env | grep =kept | sort";
  return Buffer.concat([
    field(1, name),
    field(2, name),
    field(3, "/bin/sh"),
    field(4, "-c"),
    field(4, script),
    entry,
    ALLOW_UNENFORCED,
  ]);
}

it.each(KEYS)("%s is a name in env like others, in the bytes of a request", async (key) => {
  const answer = await send(
    "Configure",
    request(`env-${KEYS.indexOf(key)}`, field(6, Buffer.concat([field(1, key), field(2, "kept")]))),
  );
  if (typeof answer === "string") throw new Error(answer);
  const id = answer.subarray(2, 2 + (answer[1] ?? 0)).toString();
  await daemon.client.start(id);
  expect((await daemon.client.wait(id)).exit).toMatchObject(exited(0));
  expect((await daemon.output(id)).stdout).toBe(`${key}=kept\n`);
});

it.each(KEYS)("%s is a port's label like others: 0 is no port", async (key) => {
  const entry = field(16, Buffer.concat([field(1, key), Buffer.from([2 << 3, 0])]));
  expect(await send("Configure", request("ports", entry))).toBe("INVALID_ARGUMENT");
});

it.each(KEYS)("%s is a key of the SDK's, in an object and in a Map", async (key) => {
  for (const env of [{ [key]: "kept" }, new Map([[key, "kept"]])]) {
    const { stdout } = await daemon.run("env | grep =kept", { env });
    expect(stdout).toBe(`${key}=kept\n`);
  }
});
