/** What each role may do, to its own tasks, its group's and others'. */
import { statSync } from "node:fs";
import { join } from "node:path";

import { ExitReason, OpenMode, type StockadeClient } from "../../src/client";
import { ExecutorServiceService } from "../../src/gen/executor/v1/executor";
import { RIGHTS, rightFor } from "../../src/rpc/access/rights";
import { sha256 } from "../support/certificates";
import { failure, isRoot, SLEEPER } from "../support/daemon";
import { RemoteDaemon } from "../support/remote-daemon";
import { SLOW } from "../support/requires";

const TOKENS = {
  "ci-a": { role: "run", group: "builds" },
  "ci-b": { role: "run", group: "builds" },
  stranger: { role: "run", group: "others" },
  alone: { role: "run", group: undefined },
  watcher: { role: "read", group: "builds" },
  ops: { role: "admin", group: undefined },
} as const;
type Name = keyof typeof TOKENS;
const NAMES = Object.keys(TOKENS) as Name[];

let daemon: RemoteDaemon;
const clients = new Map<Name, StockadeClient>();

beforeAll(async () => {
  daemon = await RemoteDaemon.start({
    clientCa: false,
    access: NAMES.map((name) => {
      const { role, group } = TOKENS[name];
      return { name, role, ...(group === undefined ? {} : { group }), token_sha256: sha256(name) };
    }),
  });
  for (const name of NAMES) clients.set(name, daemon.client({ token: name }));
});

afterAll(() => daemon[Symbol.asyncDispose]());

function as(name: Name): StockadeClient {
  const client = clients.get(name);
  if (client === undefined) throw new Error("no such client");
  return client;
}

async function configured(client: StockadeClient, allocId = daemon.test.freshName()): Promise<string> {
  const { id } = await client.configure({
    allocId,
    taskName: "t",
    allowUnenforced: !isRoot(),
    ...SLEEPER,
  });
  daemon.test.configured.push(id);
  return id;
}

type Calls = Readonly<
  Record<
    Exclude<keyof typeof RIGHTS, "configure" | "run" | "list" | "getServerInfo">,
    (client: StockadeClient, id: string) => Promise<unknown>
  >
>;

/** Each call that names a task. None of them ends it, or waits for long, where it is let through. */
const CALLS: Calls = {
  limit: (client, id) => client.limit({ id }),
  start: (client, id) => client.start(id),
  wait: (client, id) => client.wait(id, { timeoutMs: 1_000 * SLOW }),
  shutdown: (client, id) => client.shutdown({ id, signal: "NONE" }),
  forceStop: (client, id) => client.forceStop(id),
  open: (client, id) => client.open({ id, mode: OpenMode.OPEN_MODE_REATTACH }),
  get: (client, id) => client.get(id),
  delete: (client, id) => client.delete(id),
  logs: async (client, id) => {
    for await (const event of client.logs(id)) expect(event).toBeDefined();
  },
};

const NOT_THERE = { code: "NOT_FOUND", reason: "TASK_NOT_FOUND" };
const NOT_ALLOWED = { code: "PERMISSION_DENIED", reason: "ROLE_FORBIDDEN" };

/** Of a task of ci-a's. */
const EXPECTED: Readonly<Record<Name, "all" | "see" | "nothing">> = {
  "ci-a": "all",
  "ci-b": "nothing",
  stranger: "nothing",
  alone: "nothing",
  watcher: "see",
  ops: "all",
};

describe.each(NAMES)("%s, with a task of ci-a's,", (name) => {
  it.each(Object.keys(CALLS) as (keyof Calls)[])("has its right at %s", async (call) => {
    const id = await configured(as("ci-a"));
    const outcome = await CALLS[call](as(name), id).then(
      () => undefined,
      (error: unknown) => error,
    );
    const passed = { code: expect.not.stringMatching(/NOT_FOUND|PERMISSION_DENIED|UNAUTHENTICATED/) };
    const may = EXPECTED[name];
    if (name === "watcher" && RIGHTS[call] === "change") expect(outcome).toMatchObject(NOT_ALLOWED);
    else if (may === "nothing") expect(outcome).toMatchObject(NOT_THERE);
    else if (outcome !== undefined) expect(outcome).toMatchObject(passed);
    // Whoever may not has not: it waits for Start, or was started by who may.
    const { exit } = await as("ci-a").open({ id });
    const ended = may === "all" && call === "forceStop";
    expect(exit?.reason).toBe(ended ? ExitReason.EXIT_REASON_NEVER_STARTED : undefined);
    await as("ci-a").forceStop(id);
  });
});

it("an admin may do everything, a reader of another group sees nothing", async () => {
  const id = await configured(as("alone"));
  expect(await failure(CALLS.wait(as("watcher"), id))).toMatchObject(NOT_THERE);
  await as("ops").start(id);
  const { exit } = await as("ops").forceStop(id);
  expect(exit?.reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
});

it("List has those tasks that are there for the caller, by the alloc_id that they were made with", async () => {
  const allocId = daemon.test.freshName();
  const made = {
    own: await configured(as("ci-a"), allocId),
    local: await configured(daemon.test.client, allocId),
  };
  const listed = async (client: StockadeClient): Promise<unknown[]> => {
    const { tasks } = await client.list({ allocId });
    return tasks.map((task) => [task.id, task.allocId]);
  };
  const own = [made.own, allocId];
  const all = [own, [made.local, allocId]];
  for (const name of NAMES) {
    const expected = { all: name === "ops" ? all : [own], see: [own], nothing: [] }[EXPECTED[name]];
    expect([name, await listed(as(name))]).toEqual([name, expected]);
  }
  expect(await listed(daemon.test.client)).toEqual(all);
  for (const id of Object.values(made)) await daemon.test.client.forceStop(id);
});

it("a request_id is its caller's own", async () => {
  const allocId = daemon.test.freshName();
  const request = { allocId, taskName: "t", allowUnenforced: !isRoot(), requestId: "first", ...SLEEPER };
  const { id } = await as("ci-a").configure(request);
  expect(await as("ci-a").configure(request)).toMatchObject({ id });
  const { id: another } = await as("ci-b").configure(request);
  expect(another).not.toBe(id);
  await as("ci-a").forceStop(id);
  await as("ci-b").forceStop(another);
});

it("who may look at tasks only makes none", async () => {
  expect(await failure(configured(as("watcher")))).toMatchObject(NOT_ALLOWED);
});

it("the local admin has every task, and nobody else has those of its", async () => {
  const id = await configured(daemon.test.client);
  for (const name of ["ci-a", "watcher"] as const) {
    expect(await failure(CALLS.wait(as(name), id))).toMatchObject(NOT_THERE);
  }
  await as("ops").forceStop(id);
  const remote = await configured(as("ci-a"));
  expect((await daemon.test.client.forceStop(remote)).exit).toBeDefined();
});

it("a task that is another's is as one that is not there, to the last byte", async () => {
  const id = await configured(as("ci-a"));
  const absent = id.replace(/.{12}$/, "000000000000");
  const [there, not] = await Promise.all([id, absent].map((one) => failure(as("stranger").forceStop(one))));
  const told = (error = there): unknown[] => [
    error?.code,
    error?.reason,
    error?.message,
    error?.field,
    error?.metadata,
  ];
  expect(told(there)).toEqual(told(not));
  await as("ci-a").forceStop(id);
});

it("two identities' allocs of one name are two", async () => {
  const alloc = daemon.test.freshName();
  const ids = await Promise.all([
    configured(as("ci-a"), alloc),
    configured(as("ci-b"), alloc),
    configured(as("ops"), alloc),
  ]);
  for (const dir of [`ci-a@${alloc}`, `ci-b@${alloc}`, alloc]) {
    expect(statSync(join(daemon.test.allocDir(dir), "t/local")).isDirectory()).toBe(true);
  }
  const again = await failure(configured(as("ci-a"), alloc));
  expect(again).toMatchObject({ code: "ALREADY_EXISTS", reason: "TASK_EXISTS" });
  expect(again.message).toContain(`'${alloc}'`);
  await Promise.all(ids.map((id) => daemon.test.client.forceStop(id)));
});

it("nobody reaches another's alloc by its name on the host", async () => {
  const error = await failure(configured(as("ci-b"), "ci-a@x"));
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", field: "alloc_id" });
});

it("whose a task is outlives the daemon", async () => {
  const id = await configured(as("ci-a"));
  await as("ci-a").start(id);
  daemon.configure(
    NAMES.map((name) => {
      const { role, group } = TOKENS[name];
      return { name, role, ...(group === undefined ? {} : { group }), token_sha256: sha256(name) };
    }),
    { end_tasks_on_stop: false },
  );
  await daemon.restart();
  const own = daemon.client({ token: "ci-a" });
  const other = daemon.client({ token: "ci-b" });
  const watcher = daemon.client({ token: "watcher" });
  expect(await failure(CALLS.wait(other, id))).toMatchObject(NOT_THERE);
  expect(await failure(CALLS.wait(watcher, id))).toMatchObject({ code: "DEADLINE_EXCEEDED" });
  expect((await own.forceStop(id)).exit?.reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
});

it("one identity's ended tasks do not push out another's", async () => {
  await using small = await RemoteDaemon.start({
    clientCa: false,
    access: ["one", "two"].map((name) => ({ name, role: "run", token_sha256: sha256(name) })),
    config: { ended_max_records: 3 },
  });
  const ended = async (name: string): Promise<string> => {
    const client = small.client({ token: name });
    const fresh = small.test.freshName();
    const request = { allocId: fresh, taskName: fresh, allowUnenforced: !isRoot(), command: "/bin/true" };
    const { id } = await client.configure(request);
    await client.start(id);
    await client.wait(id);
    return id;
  };
  const kept = await ended("one");
  for (let count = 0; count < 4; count++) await ended("two");
  expect((await small.client({ token: "one" }).get(kept)).task?.id).toBe(kept);
  expect((await small.client({ token: "two" }).list({})).tasks).toHaveLength(2);
});

describe("the table of rights", () => {
  it("has each call of the API", () => {
    expect(Object.keys(RIGHTS).sort()).toEqual(Object.keys(ExecutorServiceService).sort());
    for (const [name, { path }] of Object.entries(ExecutorServiceService)) {
      expect(rightFor(path)).toBe(RIGHTS[name as keyof typeof RIGHTS]);
    }
  });

  it("lets nobody read what it does not know, and anybody ask for health alone", () => {
    expect(rightFor("/executor.v1.ExecutorService/Nope")).toBe("change");
    expect(rightFor("/executor.v1.ExecutorService/ToString")).toBe("change");
    expect(rightFor("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")).toBe("know");
    expect(rightFor("/grpc.health.v1.Health/Check")).toBe("anybody");
  });
});
