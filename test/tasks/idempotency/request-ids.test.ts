import { Deferred } from "../../../src/tasks/concurrency/deferred";
import type { TaskRecord } from "../../../src/tasks/ports";
import { RequestIds, type MadeTask } from "../../../src/tasks/idempotency/request-ids";

const MARK = { id: "one", digest: "d1" };
const MADE: MadeTask = { id: "task", unenforced: [] };
const REUSED = { reason: "REQUEST_ID_REUSED", field: "request_id" };

/** A task that is being made, as often as somebody begins it. */
class Making {
  readonly begun: { readonly done: Deferred<MadeTask>; readonly allGone: AbortSignal }[] = [];

  readonly make = (allGone: AbortSignal): Promise<MadeTask> => {
    const done = new Deferred<MadeTask>();
    this.begun.push({ done, allGone });
    return done.promise;
  };

  at(index: number): { readonly done: Deferred<MadeTask>; readonly allGone: AbortSignal } {
    const begun = this.begun[index];
    if (begun === undefined) throw new Error("it has not been begun so often");
    return begun;
  }
}

function recordOf(uuid: string, digest = MARK.digest): TaskRecord {
  return { id: `id-${uuid}`, uuid, request: { ...MARK, digest, unenforced: [] } } as unknown as TaskRecord;
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

let requests: RequestIds;
let making: Making;

beforeEach(() => {
  requests = new RequestIds();
  making = new Making();
});

function once(caller = new AbortController(), mark = MARK): Promise<MadeTask> {
  const answer = requests.once(undefined, mark, caller.signal, making.make);
  answer.catch(() => undefined);
  return answer;
}

it("is made once for all who ask while it is", async () => {
  const answers = [once(), once(), once()];
  await settle();
  expect(making.begun).toHaveLength(1);
  making.at(0).done.resolve(MADE);
  expect(await Promise.all(answers)).toEqual([MADE, MADE, MADE]);
});

it("is answered by its task, until that is forgotten", async () => {
  requests.remember(recordOf("a"));
  expect(await once()).toEqual({ id: "id-a", unenforced: [] });
  requests.forget(recordOf("a"));
  void once();
  await settle();
  expect(making.begun).toHaveLength(1);
});

it("of two tasks with one request, after a daemon that was cut off, the later one counts", async () => {
  for (const uuids of [
    ["a", "b"],
    ["b", "a"],
  ]) {
    requests = new RequestIds();
    for (const uuid of uuids) requests.remember(recordOf(uuid));
    expect((await once()).id).toBe("id-b");
    requests.forget(recordOf("a"));
    expect((await once()).id).toBe("id-b");
  }
});

it("another request is refused, under way and after", async () => {
  const first = once();
  await expect(once(undefined, { ...MARK, digest: "d2" })).rejects.toMatchObject(REUSED);
  making.at(0).done.resolve(MADE);
  await first;
  requests.remember(recordOf("a"));
  await expect(once(undefined, { ...MARK, digest: "d2" })).rejects.toMatchObject(REUSED);
});

it("what fails is told to all who wait, and tried again by the next", async () => {
  const answers = [once(), once()];
  await settle();
  making.at(0).done.reject(new Error("no room"));
  for (const answer of answers) await expect(answer).rejects.toThrow("no room");
  const other = once(undefined, { ...MARK, digest: "d2" });
  await settle();
  making.at(1).done.resolve(MADE);
  expect(await other).toEqual(MADE);
});

it("is given up when all have gone, not before, and each is told why he went", async () => {
  const callers = [new AbortController(), new AbortController()];
  const answers = callers.map((caller) => once(caller));
  await settle();
  const { allGone } = making.at(0);
  callers[0]?.abort(new Error("first gone"));
  await expect(answers[0]).rejects.toThrow("first gone");
  expect(allGone.aborted).toBe(false);
  callers[1]?.abort(new Error("second gone"));
  await expect(answers[1]).rejects.toThrow("second gone");
  expect(allGone.aborted).toBe(true);
});

describe("whoever comes while it is being given up", () => {
  let next: Promise<MadeTask>;

  beforeEach(async () => {
    const caller = new AbortController();
    const first = once(caller);
    await settle();
    caller.abort(new Error("gone"));
    await expect(first).rejects.toThrow("gone");
    next = once();
    await settle();
    expect(making.begun).toHaveLength(1);
  });

  it("has it made anew once that is over", async () => {
    making.at(0).done.reject(new Error("cancelled"));
    await settle();
    making.at(1).done.resolve(MADE);
    expect(await next).toEqual(MADE);
  });

  it("has the task if it has come to be after all", async () => {
    requests.remember(recordOf("a"));
    making.at(0).done.resolve({ ...MADE, id: "id-a" });
    expect((await next).id).toBe("id-a");
    expect(making.begun).toHaveLength(1);
  });

  it("may go away as well", async () => {
    const caller = new AbortController();
    const another = once(caller);
    caller.abort(new Error("gone too"));
    await expect(another).rejects.toThrow("gone too");
  });
});

it("a caller who has gone before begins nothing", async () => {
  const caller = new AbortController();
  caller.abort(new Error("gone"));
  await expect(once(caller)).rejects.toThrow("gone");
  expect(making.begun).toHaveLength(0);
});
