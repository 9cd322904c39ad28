/** Requests that are repeated: one task, one answer. */
import { existsSync } from "node:fs";

import type { ConfigureFields, ConfigureResponse } from "../../src/client";
import { failure, isRoot, SLEEPER, TestDaemon, until } from "../support/daemon";
import { exited } from "../support/exits";
import { expectNothingLeftSoon } from "../support/leftovers";
import { Random } from "../support/random";
import { RunStream } from "../support/run-stream";
import { records } from "../support/task-files";

const REUSED = { code: "ALREADY_EXISTS", reason: "REQUEST_ID_REUSED", field: "request_id" };

const REQUEST: ConfigureFields = {
  allocId: "a",
  taskName: "one",
  ...SLEEPER,
  env: { SECRET: "xyzzy", OTHER: "2" },
  labels: { a: "1", b: "2" },
  requestId: "order 66",
  allowUnenforced: !isRoot(),
};

let daemon: TestDaemon;

beforeEach(async () => {
  daemon = await TestDaemon.start({ end_tasks_on_stop: false });
});

afterEach(async () => {
  await daemon.endAll();
  for await (const { id } of daemon.client.listAll()) await daemon.client.forceStop(id);
  await expectNothingLeftSoon(daemon);
  await daemon[Symbol.asyncDispose]();
});

function configure(more: ConfigureFields = {}, signal?: AbortSignal): Promise<ConfigureResponse> {
  return daemon.client.configure({ ...REQUEST, ...more }, signal === undefined ? {} : { signal });
}

it("the same request has the same answer, as long as the task's record is kept", async () => {
  const first = await configure();
  expect(await configure()).toEqual(first);
  await daemon.client.start(first.id);
  expect(await configure()).toEqual(first);
  await daemon.client.forceStop(first.id);
  expect(await configure()).toEqual(first);
  expect(records(daemon)).toHaveLength(1);
  await daemon.client.delete(first.id);
  const second = await configure();
  expect(second.id).not.toBe(first.id);
});

it("a Run that has failed before its task ran is forgotten, and so is the task", async () => {
  const run = async (configure: ConfigureFields): Promise<unknown> => {
    const whole = { allocId: "a", taskName: "one", requestId: "order 67", ...configure };
    using stream = new RunStream(daemon, whole);
    return (await stream.ended) ?? stream.exit;
  };
  const failed = { code: "FAILED_PRECONDITION", reason: "COMMAND_NOT_EXECUTABLE" };
  const together = await Promise.all([run({ command: "/no/such" }), run({ command: "/no/such" })]);
  expect(together).toMatchObject([failed, failed]);
  expect(await run({ command: "/no/such" })).toMatchObject(failed);
  expect(records(daemon)).toEqual([]);
  expect(await run({ command: "/bin/sh", args: ["-c", "exit 5"] })).toMatchObject(exited(5));
});

it("maps in another order, and defaults that are spelt out, make no other request", async () => {
  const first = await configure();
  const env = new Map([
    ["OTHER", "2"],
    ["SECRET", "xyzzy"],
  ]);
  expect(await configure({ env, labels: { b: "2", a: "1" }, commandLine: "", mounts: [] })).toEqual(first);
});

it.each<readonly [string, ConfigureFields]>([
  ["another command", { command: "/bin/true" }],
  ["another argument", { args: ["1001"] }],
  ["another value in env", { env: { SECRET: "xyzzz", OTHER: "2" } }],
  ["a name more in env", { env: { SECRET: "xyzzy", OTHER: "2", MORE: "" } }],
  ["an argument in two", { args: ["10", "00"] }],
  ["another task name", { taskName: "two" }],
  ["another label", { labels: { a: "1", b: "3" } }],
  ["a flag", { allowUnenforced: isRoot() }],
])("another request is refused, and makes no task: %s", async (_what, more) => {
  const first = await configure();
  expect(await failure(configure(more))).toMatchObject(REUSED);
  expect(records(daemon)).toHaveLength(1);
  expect(await configure()).toEqual(first);
});

it("another request id is another request, and the name is in use", async () => {
  await configure();
  expect(await failure(configure({ requestId: "order 67" }))).toMatchObject({ reason: "TASK_EXISTS" });
  expect(await failure(configure({ requestId: "" }))).toMatchObject({ reason: "TASK_EXISTS" });
});

it("many at once make one task, and all have its id", async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => configure()));
  expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
  expect(records(daemon)).toHaveLength(1);
});

it("of two different ones at once, one makes a task", async () => {
  const calls = await Promise.allSettled([configure(), configure({ args: ["7"] })]);
  expect(calls.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  const refused = calls.find((call) => call.status === "rejected");
  expect(refused?.reason).toMatchObject(REUSED);
});

it.each(["SIGKILL", "SIGTERM"] as const)(
  "the next daemon gives the same answer, after %s",
  async (signal) => {
    const unstarted = await configure();
    const runs = await configure({ taskName: "two", requestId: "runs" });
    await daemon.client.start(runs.id);
    await daemon.restart(signal);
    expect(await configure()).toEqual(unstarted);
    expect(await configure({ taskName: "two", requestId: "runs" })).toEqual(runs);
    expect(await failure(configure({ args: ["1"] }))).toMatchObject(REUSED);
    expect(await failure(configure({ requestId: "runs" }))).toMatchObject(REUSED);
    await daemon.client.forceStop(runs.id);
    await daemon.client.delete(runs.id);
    await daemon.restart(signal);
    expect((await configure({ taskName: "two", requestId: "runs" })).id).not.toBe(runs.id);
  },
);

it("what was asked for is on record by its digest alone", async () => {
  const { id } = await configure();
  const record = await daemon.record(id);
  expect(record).toContain("order 66");
  expect(record).toMatch(/"digest": "[0-9a-f]{64}"/);
  expect(record).not.toContain("xyzzy");
  expect(record).not.toContain("SECRET");
});

it("what has failed is forgotten: repeated, it is tried again, and so is another", async () => {
  const fails = { workDir: "/nowhere" };
  for (let time = 0; time < 3; time++) {
    expect(await failure(configure(fails))).toMatchObject({ reason: "SANDBOX_FAILED" });
  }
  expect(records(daemon)).toEqual([]);
  await configure();
});

it("the same request is made once nothing is in its way any more", async () => {
  const other = await configure({ requestId: "" });
  expect(await failure(configure())).toMatchObject({ reason: "TASK_EXISTS" });
  await daemon.client.forceStop(other.id);
  const first = await configure();
  expect(first.id).not.toBe(other.id);
  expect(await configure()).toEqual(first);
});

it("many at once of one that fails are all told why, none that it was cancelled", async () => {
  const calls = Array.from({ length: 10 }, () => failure(configure({ workDir: "/nowhere" })));
  for (const error of await Promise.all(calls)) expect(error).toMatchObject({ reason: "SANDBOX_FAILED" });
});

it("whoever waits for the answer has it when the first caller goes away, at any moment", async () => {
  const random = new Random(7);
  for (let round = 0; round < 40; round++) {
    const name = `round-${round}`;
    const gone = new AbortController();
    const request = { taskName: name, requestId: name };
    const first = configure(request, gone.signal).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, random.between(0, 4)));
    const second = configure(request);
    await new Promise((resolve) => setTimeout(resolve, random.between(0, 4)));
    gone.abort();
    const answered = await second;
    const mine = await first;
    if (mine !== undefined) expect(answered).toEqual(mine);
    expect(await configure(request)).toEqual(answered);
    await daemon.client.forceStop(answered.id);
  }
  expect(records(daemon)).toHaveLength(40);
});

it("a caller who has gone and comes again has a task, at any moment", async () => {
  const random = new Random(11);
  for (let round = 0; round < 40; round++) {
    const name = `round-${round}`;
    const request = { taskName: name, requestId: name };
    const gone = new AbortController();
    const first = configure(request, gone.signal).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, random.between(0, 6)));
    gone.abort();
    const { id } = await configure(request);
    await first;
    await daemon.client.start(id);
    await daemon.client.forceStop(id);
  }
  // Of those that were given up nothing is left.
  await until(() => records(daemon).length === 40);
});

it("with none left who asks for it, nothing is left of it", async () => {
  const random = new Random(13);
  for (let round = 0; round < 20; round++) {
    const name = `round-${round}`;
    const callers = Array.from({ length: 3 }, () => new AbortController());
    const calls = callers.map((caller) =>
      configure({ taskName: name, requestId: name }, caller.signal).catch(() => undefined),
    );
    await new Promise((resolve) => setTimeout(resolve, random.between(0, 3)));
    for (const caller of callers) caller.abort();
    await Promise.all(calls);
  }
  // Where a cancellation crossed the answer, there is a task, and its request has that answer.
  for await (const { id, taskName } of daemon.client.listAll()) {
    expect(await configure({ taskName, requestId: taskName })).toMatchObject({ id });
    await daemon.client.forceStop(id);
    await daemon.client.delete(id);
  }
  await until(() => records(daemon).length === 0);
});

it("an answer that was lost with its daemon is had from the next one, or there is no task", async () => {
  for (let round = 0; round < 5; round++) {
    const request = { taskName: `round-${round}`, requestId: `round-${round}` };
    const lost = configure(request).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 3 * round));
    await daemon.end("SIGKILL");
    const first = await lost;
    await daemon.startAgain();
    const { id } = await configure(request);
    if (first !== undefined) expect(id).toBe(first.id);
    expect(existsSync(daemon.recordDir(id))).toBe(true);
  }
  expect(records(daemon)).toHaveLength(5);
});

it("an answer holds what is not in force, as it did", async () => {
  const script = { command: "/bin/sh", args: ["-c", "exit 3"] };
  const first = await configure(script);
  await daemon.client.start(first.id);
  expect((await daemon.client.wait(first.id)).exit).toMatchObject(exited(3));
  expect((await configure(script)).unenforced).toEqual(first.unenforced);
});
