/** Requests of Run that cannot be: each is refused with its code, reason and field, and nothing is there of a task. */
import { Resources, type ConfigureFields } from "../../src/client";
import { codeOf } from "../support/bad-requests/row";
import {
  COLLECT,
  CONFIGURE,
  file,
  FILES,
  HEARTBEAT,
  RESOURCES,
  type Rest,
} from "../support/bad-requests/run";
import { TestDaemon } from "../support/daemon";
import { exited } from "../support/exits";
import { footprint } from "../support/footprint";
import { expectNothingLeftSoon } from "../support/leftovers";
import { RunStream } from "../support/run-stream";

let daemon: TestDaemon;
let untouched: string[];

beforeAll(async () => {
  daemon = await TestDaemon.start();
  untouched = footprint(daemon);
});

afterEach(() => {
  expect(footprint(daemon)).toEqual(untouched);
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

async function refused(configure: ConfigureFields, rest: Rest, reason: string, field: string): Promise<void> {
  using run = new RunStream(daemon, { command: "/bin/true", ...configure }, rest);
  const error = await run.ended;
  expect(error).toMatchObject({ code: codeOf(reason), reason, field });
  expect(error?.message).not.toContain(daemon.daemon.directory);
  expect(run.events).toEqual([]);
}

it.each(CONFIGURE)("refuses, in configure, %s", (_what, configure, reason, field) =>
  refused(configure, {}, reason, `configure.${field}`),
);

it.each([...RESOURCES, ...FILES, ...COLLECT, ...HEARTBEAT])("refuses %s", (_what, rest, reason, field) =>
  refused({ taskName: "t" }, rest, reason, field),
);

it("refuses names that are in use, by the name of the field", async () => {
  const id = await daemon.configure({ allocId: "in-use", taskName: "in-use", command: "/bin/true" });
  using run = new RunStream(daemon, { allocId: "in-use", taskName: "in-use", command: "/bin/true" });
  expect(await run.ended).toMatchObject({
    code: "ALREADY_EXISTS",
    reason: "TASK_EXISTS",
    field: "configure.task_name",
  });
  await daemon.client.forceStop(id);
  untouched = footprint(daemon);
});

it("refuses a standard input that no message has room for", async () => {
  using run = new RunStream(daemon, { command: "/bin/cat" }, { stdin: Buffer.alloc(4 << 20) });
  expect(await run.ended).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  expect(run.events).toEqual([]);
});

it("refuses another request with the same request_id, whatever it is that differs", async () => {
  const configure = { allocId: "same", taskName: "same", command: "/bin/true", requestId: "order 66" };
  const rest: Rest = {
    resources: Resources.fromPartial({ memoryBytes: 64n << 20n }),
    files: [file({})],
    stdin: Buffer.from("x"),
    collect: [{ path: "/local/one", maxBytes: 1n }],
    outputMaxBytes: 1n,
    heartbeatInterval: { seconds: 1n, nanos: 0 },
  };
  using first = new RunStream(daemon, configure, rest);
  expect(await first.ended).toBeUndefined();
  untouched = footprint(daemon);
  const others: Rest[] = [
    { ...rest, stdin: Buffer.from("y") },
    { ...rest, stdin: Buffer.of() },
    { ...rest, files: [file({ content: Buffer.from("y") })] },
    { ...rest, files: [file({ mode: 0o600 })] },
    { ...rest, files: [] },
    { ...rest, resources: Resources.fromPartial({ memoryBytes: 65n << 20n }) },
    { ...rest, resources: undefined },
    { ...rest, collect: [{ path: "/local/two", maxBytes: 1n }] },
    { ...rest, collect: [{ path: "/local/one", maxBytes: 2n }] },
    { ...rest, collect: [] },
    { ...rest, outputMaxBytes: 0n },
    { ...rest, outputMaxBytes: undefined },
    { ...rest, detachOnDisconnect: true },
    { ...rest, heartbeatInterval: { seconds: 2n, nanos: 0 } },
  ];
  for (const other of others) {
    using run = new RunStream(daemon, configure, other);
    expect(await run.ended).toMatchObject({
      code: "ALREADY_EXISTS",
      reason: "REQUEST_ID_REUSED",
      field: "configure.request_id",
    });
  }
  using again = new RunStream(daemon, configure, rest);
  expect(await again.ended).toBeUndefined();
  expect(await again.started()).toBe(await first.started());
});

it("after all of it the daemon serves on; the bounds themselves are within", async () => {
  const rest: Rest = {
    files: [file({ path: `/local${"/x".repeat(63)}`, mode: 0o777 })],
    collect: [{ path: "/local/none", maxBytes: 2n ** 30n }],
    outputMaxBytes: 2n ** 64n - 1n,
    heartbeatInterval: { seconds: 86_400n, nanos: 0 },
  };
  const longest = { seconds: 365n * 86_400n, nanos: 0 };
  using run = new RunStream(
    daemon,
    { command: "/bin/cat", timeout: longest },
    { ...rest, stdin: Buffer.from("served\n") },
  );
  expect(await run.ended).toBeUndefined();
  expect(run.text("stdout")).toBe("served\n");
  expect(run.exit).toMatchObject(exited(0));
  await expectNothingLeftSoon(daemon);
  untouched = footprint(daemon);
});
