import { credentials, Client, status, type ServiceError } from "@grpc/grpc-js";
import { OpenMode } from "../../src/client";
import { CONFIGURE } from "../support/bad-requests/configure";
import { LIMIT, LIST, SHUTDOWN } from "../support/bad-requests/others";
import { codeOf } from "../support/bad-requests/row";
import { failure, TestDaemon } from "../support/daemon";
import { exited } from "../support/exits";
import { footprint } from "../support/footprint";

let daemon: TestDaemon;

/** A task that waits for Start while all of it goes on. */
let waiting: string;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  waiting = await daemon.configure({ command: "/bin/true" });
  untouched = footprint(daemon);
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

let untouched: string[];

afterEach(() => {
  expect(footprint(daemon)).toEqual(untouched);
});

const UNKNOWN_ID = "CGROUP:/stockade/01890000-0000-7000-8000-000000000000";

describe("Configure", () => {
  it.each(CONFIGURE)("refuses %s", async (_what, request, reason, field) => {
    const valid = { allocId: "bad-input", taskName: "task", command: "/bin/true", allowUnenforced: true };
    const error = await failure(daemon.client.configure({ ...valid, ...request }));
    expect(error).toMatchObject({ code: codeOf(reason), reason, field });
    expect(error.message).not.toContain(daemon.daemon.directory);
    expect(error.message).not.toContain("\0");
  });

  it("refuses names that are in use", async () => {
    const error = await failure(
      daemon.client.configure({ allocId: "t0", taskName: "t0", command: "/bin/true", allowUnenforced: true }),
    );
    expect(error).toMatchObject({ code: "ALREADY_EXISTS", reason: "TASK_EXISTS", field: "task_name" });
  });
});

describe("Limit", () => {
  it.each(LIMIT)("refuses %s", async (_what, request, reason, field) => {
    const error = await failure(daemon.client.limit({ id: waiting, allowUnenforced: true, ...request }));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason, field });
  });
});

describe("Shutdown", () => {
  it.each(SHUTDOWN)("refuses %s", async (_what, request, reason, field) => {
    const error = await failure(daemon.client.shutdown({ id: waiting, ...request }));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason, field });
  });
});

describe("List", () => {
  it.each(LIST)("refuses %s", async (_what, request, reason, field) => {
    const error = await failure(daemon.client.list(request));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason, field });
    expect(error.message.length).toBeLessThan(1000);
  });
});

it("Delete refuses a task that waits for Start", async () => {
  const error = await failure(daemon.client.delete(waiting));
  expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NOT_ENDED" });
});

it("Open refuses a mode that is none", async () => {
  const error = await failure(daemon.client.open({ id: waiting, mode: OpenMode.UNRECOGNIZED }));
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", field: "mode" });
});

/** Every call that names a task, with all else as it should be. */
const CALLS: Readonly<Record<string, (id: string) => Promise<unknown>>> = {
  Limit: (id) =>
    daemon.client.limit({
      id,
      resources: { pidsMax: 10n },
      allowUnenforced: true,
    }),
  Start: (id) => daemon.client.start(id),
  Wait: (id) => daemon.client.wait(id),
  Shutdown: (id) => daemon.client.shutdown({ id }),
  ForceStop: (id) => daemon.client.forceStop(id),
  Open: (id) => daemon.client.open({ id }),
  Get: (id) => daemon.client.get(id),
  Delete: (id) => daemon.client.delete(id),
};

describe.each(Object.keys(CALLS))("%s", (name) => {
  const call = (id: string): Promise<unknown> =>
    CALLS[name]?.(id) ?? Promise.reject(new Error("no such call"));

  it.each([
    ["no id", "", "INVALID_ARGUMENT", "FIELD_MISSING", "id"],
    ["what is no id", "nonsense", "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["an id that leads up", "CGROUP:/stockade/../x", "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["the host's first process", "PID:1", "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["an id with a NUL", `${UNKNOWN_ID}\0`, "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    [
      "an id of a million characters",
      `CGROUP:/${"x".repeat(1_000_000)}`,
      "INVALID_ARGUMENT",
      "FIELD_INVALID",
      "id",
    ],
    ["the id of no task", UNKNOWN_ID, "NOT_FOUND", "TASK_NOT_FOUND", undefined],
  ])("refuses %s", async (_what, id, code, reason, field) => {
    const error = await failure(call(id));
    expect(error).toMatchObject({ code, reason, field });
    expect(error.message.length).toBeLessThan(1000);
  });
});

describe("what is no request", () => {
  let raw: Client;

  beforeAll(() => {
    raw = new Client(daemon.daemon.address, credentials.createInsecure());
  });

  afterAll(() => raw.close());

  /** The code that bytes sent to a method are answered with. */
  function codeOf(method: string, bytes: Buffer): Promise<string> {
    const pass = (buffer: Buffer): Buffer => buffer;
    return new Promise((resolve) => {
      raw.makeUnaryRequest(method, pass, pass, bytes, (error: ServiceError | null) => {
        resolve(error === null ? "OK" : status[error.code]);
      });
    });
  }

  it.each([
    "Configure",
    "Limit",
    "Start",
    "Wait",
    "Shutdown",
    "ForceStop",
    "Open",
    "Get",
    "List",
    "Delete",
    "GetServerInfo",
  ])("is refused by %s: bytes that are no message, and one that is cut short", async (name) => {
    const noMessages = [Buffer.from("ffffffffffffffffffff", "hex"), Buffer.from([0x0a, 0x7f, 0x41])];
    for (const bytes of noMessages) {
      const code = await codeOf(`/executor.v1.ExecutorService/${name}`, bytes);
      expect(["INVALID_ARGUMENT", "INTERNAL"]).toContain(code);
    }
  });

  it("is refused by what is no method", async () => {
    expect(await codeOf("/executor.v1.ExecutorService/Nothing", Buffer.alloc(0))).toBe("UNIMPLEMENTED");
    expect(await codeOf("/executor.v2.ExecutorService/Start", Buffer.alloc(0))).toBe("UNIMPLEMENTED");
  });

  it("is refused when it is larger than a message may be", async () => {
    const code = await codeOf("/executor.v1.ExecutorService/Configure", Buffer.alloc(32 << 20, 0x20));
    expect(code).toBe("RESOURCE_EXHAUSTED");
  });
});

it("after all of it the daemon serves on, and the waiting task is as it was", async () => {
  const kept = await daemon.run("echo served");
  expect(kept).toMatchObject({ exit: exited(0), stdout: "served\n" });
  await daemon.client.start(waiting);
  expect((await daemon.client.wait(waiting)).exit).toMatchObject(exited(0));
  expect(daemon.leftovers()).toEqual([]);
  untouched = footprint(daemon);
});
