/** What is told of tasks, one by one and in pages, and how their records are removed. */
import { existsSync, readFileSync } from "node:fs";

import { TaskState, type ListFields, type Task } from "../../src/client";
import { failure, SLEEPER, TestDaemon, until } from "../support/daemon";
import { exited } from "../support/exits";
import { expectNothingLeft } from "../support/leftovers";
import { Random } from "../support/random";
import { itRequires } from "../support/requires";
import { records } from "../support/task-files";

async function get(daemon: TestDaemon, id: string): Promise<Task> {
  const { task } = await daemon.client.get(id);
  if (task === undefined) throw new Error("Get answered no task");
  return task;
}

/** The names of all that match, by pages of so many. */
async function names(daemon: TestDaemon, request: ListFields = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const { taskName } of daemon.client.listAll(request)) found.push(taskName);
  return found;
}

describe("Get", () => {
  it("tells of a task from Configure to its end", async () => {
    await using daemon = await TestDaemon.start();
    const labels = { team: "blue", "example.org/role": "öffentlich", empty: "" };
    const before = Date.now();
    const id = await daemon.configure({ ...SLEEPER, allocId: "a", taskName: "one", labels });
    const configured = await get(daemon, id);
    expect(configured).toMatchObject({
      id,
      allocId: "a",
      taskName: "one",
      state: TaskState.TASK_STATE_CONFIGURED,
      labels: new Map(Object.entries(labels)),
      startedAt: undefined,
      pid: 0,
      limits: undefined,
      exit: undefined,
    });
    const configuredMs = Number(configured.configuredAt?.seconds) * 1000;
    expect(configuredMs).toBeGreaterThan(before - 2_000);
    expect(configuredMs).toBeLessThanOrEqual(Date.now());

    const { pid } = await daemon.client.start(id);
    const running = await get(daemon, id);
    expect(running).toMatchObject({ state: TaskState.TASK_STATE_RUNNING, pid, exit: undefined });
    expect(running.startedAt).toBeDefined();
    expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("sleep\n");

    const { exit } = await daemon.client.forceStop(id);
    const ended = await get(daemon, id);
    expect(ended).toEqual({ ...running, state: TaskState.TASK_STATE_ENDED, pid: 0, exit });
    expect(ended.startedAt).toEqual(exit?.startedAt);
    await expectNothingLeft(daemon);
  });

  itRequires("cgroups", "tells of limits as they were asked for, set by several calls", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.started();
    await daemon.client.limit({ id, resources: { memoryBytes: 64_000_001n, cpuMillis: 500n } });
    await daemon.client.limit({ id, resources: { pidsMax: 20n, cpuMillis: 700n } });
    const limits = { memoryBytes: 64_000_001n, cpuMillis: 700n, pidsMax: 20n, ioWeight: undefined };
    expect((await get(daemon, id)).limits).toMatchObject(limits);
  });

  itRequires("cgroups", "tells the same after a restart, of what runs and of what has ended", async () => {
    await using daemon = await TestDaemon.start({ end_tasks_on_stop: false });
    const running = await daemon.started({ ...SLEEPER, labels: { a: "1" } });
    const { id } = await daemon.run("exit 3", { labels: { a: "2" } });
    const before = [await get(daemon, running.id), await get(daemon, id)];
    await daemon.restart("SIGKILL");
    expect([await get(daemon, running.id), await get(daemon, id)]).toEqual(before);
    expect(before[0]).toMatchObject({ pid: running.pid, labels: new Map([["a", "1"]]) });
    await daemon.client.forceStop(running.id);
  });
});

describe("List", () => {
  let daemon: TestDaemon;

  beforeAll(async () => {
    daemon = await TestDaemon.start({ end_tasks_on_stop: false });
    await daemon.run("true", { allocId: "a", taskName: "ended", labels: { team: "blue", tier: "1" } });
    await daemon.configure({ ...SLEEPER, allocId: "a", taskName: "waiting", labels: { team: "blue" } });
    await daemon.started({ ...SLEEPER, allocId: "b", taskName: "running", labels: { team: "red" } });
    await daemon.started({ ...SLEEPER, allocId: "b", taskName: "other", labels: { team: "" } });
  });

  afterAll(async () => {
    await daemon?.endAll();
    await daemon?.[Symbol.asyncDispose]();
  });

  const ENDED = TaskState.TASK_STATE_ENDED;
  const RUNNING = TaskState.TASK_STATE_RUNNING;

  it.each<readonly [string, ListFields, readonly string[]]>([
    ["all, in the order in which they were configured", {}, ["ended", "waiting", "running", "other"]],
    ["those of an alloc", { allocId: "b" }, ["running", "other"]],
    ["none of an alloc that is not there", { allocId: "c" }, []],
    ["those in a state", { states: [RUNNING] }, ["running", "other"]],
    ["those in one of several states", { states: [ENDED, RUNNING, ENDED] }, ["ended", "running", "other"]],
    ["none that is paused", { states: [TaskState.TASK_STATE_PAUSED] }, []],
    ["those with a label", { labels: { team: "blue" } }, ["ended", "waiting"]],
    ["those with all labels", { labels: { team: "blue", tier: "1" } }, ["ended"]],
    ["an empty value as one like others", { labels: { team: "" } }, ["other"]],
    ["what matches it all", { allocId: "a", labels: { team: "blue" }, states: [ENDED] }, ["ended"]],
  ])("tells of %s, whatever the size of a page", async (_what, request, found) => {
    for (const pageSize of [0, 1, 2, 3, 1000, 2 ** 31 - 1]) {
      expect(await names(daemon, { ...request, pageSize })).toEqual(found);
    }
  });

  it("tells of each what Get tells", async () => {
    const { tasks, nextPageToken } = await daemon.client.list();
    expect(nextPageToken).toBe("");
    expect(tasks).toHaveLength(4);
    for (const task of tasks) expect(await get(daemon, task.id)).toEqual(task);
  });

  it("says that there is a next page only where there is one", async () => {
    const first = await daemon.client.list({ pageSize: 3 });
    expect(first.tasks).toHaveLength(3);
    expect(first.nextPageToken).not.toBe("");
    const second = await daemon.client.list({ pageSize: 3, pageToken: first.nextPageToken });
    expect(second).toMatchObject({ tasks: [{ taskName: "other" }], nextPageToken: "" });
    expect((await daemon.client.list({ pageSize: 4 })).nextPageToken).toBe("");
  });

  it("refuses a token in a listing with another filter, and takes it with another size", async () => {
    const labels = { team: "blue" };
    const { nextPageToken: pageToken } = await daemon.client.list({ labels, pageSize: 1 });
    for (const other of [
      {},
      { labels: { team: "red" } },
      { labels, allocId: "a" },
      { labels, states: [ENDED] },
    ]) {
      expect(await failure(daemon.client.list({ ...other, pageToken }))).toMatchObject({
        code: "INVALID_ARGUMENT",
        reason: "FIELD_INVALID",
        field: "page_token",
      });
    }
    expect(await names(daemon, { labels, pageToken, pageSize: 7 })).toEqual(["waiting"]);
  });

  itRequires("cgroups", "goes on with the next daemon, while tasks come and go", async () => {
    const seen: string[] = [];
    let pageToken = "";
    const page = async (): Promise<void> => {
      const answer = await daemon.client.list({ pageSize: 1, pageToken });
      seen.push(...answer.tasks.map(({ taskName }) => taskName));
      pageToken = answer.nextPageToken;
    };
    await page();
    // The one that the token names goes.
    const [first] = (await daemon.client.list({ allocId: "a" })).tasks;
    await daemon.client.delete(first?.id ?? "");
    await daemon.restart("SIGKILL");
    while (pageToken !== "") {
      await page();
      await daemon.run("true", { labels: { late: "1" } });
      if (seen.length === 6) break;
    }
    expect(seen.slice(0, 4)).toEqual(["ended", "waiting", "running", "other"]);
    expect(new Set(seen).size).toBe(seen.length);
  });
});

describe("Delete", () => {
  it("is refused until the task has ended, and changes nothing then", async () => {
    await using daemon = await TestDaemon.start();
    const waiting = await daemon.configure(SLEEPER);
    const { id: running } = await daemon.started();
    for (const id of [waiting, running]) {
      expect(await failure(daemon.client.delete(id))).toMatchObject({
        code: "FAILED_PRECONDITION",
        reason: "NOT_ENDED",
      });
    }
    expect((await get(daemon, waiting)).state).toBe(TaskState.TASK_STATE_CONFIGURED);
    await daemon.client.forceStop(running);
    await daemon.client.delete(running);
    await daemon.client.start(waiting);
    await daemon.client.forceStop(waiting);
  });

  it("removes the record at once, and for good", async () => {
    await using daemon = await TestDaemon.start();
    const kept = await daemon.run("exit 1");
    const { id } = await daemon.run("exit 2");
    await daemon.client.delete(id);
    expect(existsSync(daemon.recordDir(id))).toBe(false);
    const { client } = daemon;
    for (const call of [client.delete(id), client.get(id), client.wait(id), client.open({ id })]) {
      expect(await failure(call)).toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND" });
    }
    await daemon.restart("SIGKILL");
    expect(await failure(daemon.client.get(id))).toMatchObject({ reason: "TASK_NOT_FOUND" });
    expect((await get(daemon, kept.id)).exit).toEqual(kept.exit);
    expect(records(daemon)).toHaveLength(1);
  });

  it("of many at once removes each once, and those who wait have their answer", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.started({ command: "/bin/sh", args: ["-c", "sleep 0.3; exit 5"] });
    const waits = Array.from({ length: 5 }, () => daemon.client.wait(id));
    await daemon.client.wait(id);
    const deletes = await Promise.allSettled(Array.from({ length: 8 }, () => daemon.client.delete(id)));
    expect(deletes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const { exit } of await Promise.all(waits)) expect(exit).toMatchObject(exited(5));
    expect(records(daemon)).toEqual([]);
  });

  it("of one keeps those of the same name, and makes room among ended_max_records", async () => {
    await using daemon = await TestDaemon.start({ ended_max_records: 2 });
    const same = { allocId: "a", taskName: "one" };
    const first = await daemon.run("exit 1", same);
    const second = await daemon.run("exit 2", same);
    await daemon.client.delete(second.id);
    const third = await daemon.run("exit 3", same);
    expect(await names(daemon)).toEqual(["one", "one"]);
    expect((await get(daemon, first.id)).exit).toEqual(first.exit);
    expect((await get(daemon, third.id)).exit).toEqual(third.exit);
  });

  itRequires("root", "takes the directories with it where remove_alloc_dirs says so", async () => {
    await using daemon = await TestDaemon.start({ remove_alloc_dirs: true });
    const { id } = await daemon.run("echo > /local/x", { allocId: "a", taskName: "one" });
    const other = await daemon.run("true", { allocId: "a", taskName: "two" });
    await daemon.client.delete(id);
    expect(existsSync(`${daemon.allocDir("a")}/one`)).toBe(false);
    await daemon.client.delete(other.id);
    expect(existsSync(daemon.allocDir("a"))).toBe(false);
  });

  it("is carried through, or not begun, when its caller goes away at any moment", async () => {
    await using daemon = await TestDaemon.start();
    const random = new Random(5);
    for (let round = 0; round < 20; round++) {
      const { id } = await daemon.run("true");
      const gone = new AbortController();
      const call = daemon.client.delete(id, { signal: gone.signal }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, random.between(0, 3)));
      gone.abort();
      await call;
      const there = await daemon.client.get(id).catch(() => undefined);
      if (there === undefined) await until(() => !existsSync(daemon.recordDir(id)));
      else expect(existsSync(daemon.recordDir(id))).toBe(true);
    }
  });
});
