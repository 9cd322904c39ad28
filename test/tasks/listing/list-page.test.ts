/** Pages of a listing, over tasks that come and go. Of a task only what a listing looks at is there. */
import { LOCAL_ADMIN } from "../../../src/tasks/access/identity";
import type { ListedState } from "../../../src/tasks/listing/list-query";
import { checkList, type ListInput } from "../../../src/tasks/listing/list-query";
import { listPage, type ListPage } from "../../../src/tasks/listing/list-page";
import { UuidOrder } from "../../../src/tasks/listing/uuid-order";
import { ListResponse } from "../../../src/gen/executor/v1/executor";
import { encodePage, encodeTask } from "../../../src/rpc/encode-list";
import type { TaskRecord } from "../../../src/tasks/ports";
import type { Task } from "../../../src/tasks/task";
import { uuid7 } from "../../../src/tasks/uuid";
import { Random } from "../../support/random";

const ALL: ListInput = { states: [], labels: new Map(), allocId: "", pageSize: 0, pageToken: "" };

function taskOf(
  uuid: string,
  labels: ReadonlyMap<string, string> = new Map(),
  state: ListedState = "ended",
): Task {
  const record: Partial<TaskRecord> = {
    id: `CGROUP:/stockade/${uuid}`,
    allocId: "a",
    taskName: "t",
    labels,
    limits: {},
    configuredNs: 0n,
  };
  return {
    uuid,
    record,
    state,
    startedNs: undefined,
    pid: undefined,
    finalExit: undefined,
  } as unknown as Task;
}

class Tasks {
  readonly order = new UuidOrder<Task>();
  readonly there = new Set<Task>();

  add(task: Task): Task {
    this.order.add(task);
    this.there.add(task);
    return task;
  }

  delete(task: Task): void {
    this.order.delete(task);
    this.there.delete(task);
  }

  async page(input: Partial<ListInput>): Promise<ListPage> {
    return listPage(
      this.order,
      await checkList({ ...ALL, ...input }, LOCAL_ADMIN),
      encodeTask,
      new AbortController().signal,
    );
  }
}

/** As whoever gets the page reads it. */
function idsOf(page: ListPage): string[] {
  const { tasks, nextPageToken } = ListResponse.decode(encodePage(page));
  expect(nextPageToken).toBe(page.nextPageToken);
  return tasks.map(({ id }) => id);
}

const BLUE = new Map([["team", "blue"]]);
const RED = new Map([["team", "red"]]);

it.each(Array.from({ length: 12 }, (_, seed) => seed))(
  "each that is there all the time is on one page, and no other on two (seed %d)",
  async (seed) => {
    const random = new Random(seed);
    const tasks = new Tasks();
    let nowMs = 1_000_000;
    // A clock that is set back puts new ones among the old.
    const fresh = (): Task =>
      tasks.add(
        taskOf(
          uuid7((nowMs += random.between(-20, 30))),
          random.pick([BLUE, RED, new Map<string, string>()]),
        ),
      );
    for (let count = 0; count < 700; count++) fresh();
    const labels = seed % 2 === 0 ? new Map<string, string>() : BLUE;
    const before = [...tasks.there].filter(({ record }) => labels.size === 0 || record.labels === BLUE);
    const kept = new Set(before);
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await tasks.page({ labels, pageToken, pageSize: random.between(1, 60) });
      seen.push(...idsOf(page));
      pageToken = page.nextPageToken;
      for (let change = random.between(0, 30); change > 0; change--) {
        if (random.next() < 0.5) fresh();
        else {
          const gone = random.pick([...tasks.there]);
          tasks.delete(gone);
          kept.delete(gone);
        }
      }
    } while (pageToken !== "");
    expect(new Set(seen).size).toBe(seen.length);
    for (const { record } of kept) expect(seen).toContain(record.id);
    expect([...seen]).toEqual([...seen].sort());
  },
);

it("a page has as many as are asked for, and the last one no token", async () => {
  const tasks = new Tasks();
  for (let count = 0; count < 250; count++) tasks.add(taskOf(uuid7()));
  expect(idsOf(await tasks.page({}))).toHaveLength(100);
  expect(idsOf(await tasks.page({ pageSize: 250 }))).toHaveLength(250);
  expect((await tasks.page({ pageSize: 250 })).nextPageToken).toBe("");
  expect((await tasks.page({ pageSize: 249 })).nextPageToken).not.toBe("");
  expect((await new Tasks().page({})).tasks).toEqual([]);
});

it("a page has fewer where they hold much, and one at least", async () => {
  const tasks = new Tasks();
  const labels = new Map(
    Array.from({ length: 64 }, (_, index) => [`${index}`.padEnd(128, "k"), "x".repeat(256)]),
  );
  for (let count = 0; count < 100; count++) tasks.add(taskOf(uuid7(), labels));
  const seen: string[] = [];
  let pageToken = "";
  do {
    const page = await tasks.page({ pageSize: 1000, pageToken });
    expect(page.tasks.length).toBeGreaterThan(0);
    expect(page.tasks.length).toBeLessThanOrEqual(22);
    seen.push(...idsOf(page));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  expect(seen).toHaveLength(100);
});

it("of a filter that little matches a page is looked for over several turns of the event loop", async () => {
  const tasks = new Tasks();
  for (let count = 0; count < 300_000; count++) tasks.add(taskOf(uuid7()));
  const last = tasks.add(taskOf("ffffffff-0000-7000-8000-000000000000", BLUE));
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const page = await tasks.page({ labels: BLUE });
  clearInterval(timer);
  expect(idsOf(page)).toEqual([last.record.id]);
  expect(turns).toBeGreaterThan(5);
});

it("is left when its caller has gone", async () => {
  const tasks = new Tasks();
  for (let count = 0; count < 100_000; count++) tasks.add(taskOf(uuid7()));
  const gone = new AbortController();
  const query = await checkList({ ...ALL, labels: BLUE }, LOCAL_ADMIN);
  const page = listPage(tasks.order, query, encodeTask, gone.signal);
  gone.abort(new Error("gone"));
  await expect(page).rejects.toThrow("gone");
});

it("one that is starting is configured to whoever lists", async () => {
  const tasks = new Tasks();
  tasks.add(taskOf(uuid7(), BLUE, "starting" as ListedState));
  expect((await tasks.page({ states: ["configured"] })).tasks).toHaveLength(1);
  expect((await tasks.page({ states: ["running"] })).tasks).toHaveLength(0);
});
