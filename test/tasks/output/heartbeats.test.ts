import { withHeartbeats, type Heartbeat } from "../../../src/tasks/output/heartbeats";
import { Deferred } from "../../../src/tasks/concurrency/deferred";

const INTERVAL_MS = 20;

type Event = { readonly kind: "word"; readonly text: string } | Heartbeat;

const word = (text: string): Event => ({ kind: "word", text });

it("comes whenever nothing else has for so long, and loses nothing of what does", async () => {
  const late = new Deferred<void>();
  const events = withHeartbeats(
    (async function* () {
      yield word("soon");
      await late.promise;
      yield word("late");
    })(),
    INTERVAL_MS,
  );
  expect((await events.next()).value).toEqual(word("soon"));
  for (let count = 0; count < 3; count++) {
    const before = performance.now();
    expect((await events.next()).value).toEqual({ kind: "heartbeat" });
    expect(performance.now() - before).toBeGreaterThanOrEqual(INTERVAL_MS - 2);
  }
  late.resolve();
  expect((await events.next()).value).toEqual(word("late"));
  expect((await events.next()).done).toBe(true);
});

it("is none where events come sooner than that", async () => {
  const seen: Event[] = [];
  const events = (async function* () {
    for (let count = 0; count < 1000; count++) yield await Promise.resolve(word(String(count)));
  })();
  for await (const event of withHeartbeats(events, 10_000)) seen.push(event);
  expect(seen).toEqual(Array.from({ length: 1000 }, (_, count) => word(String(count))));
});

it("ends as its source does: with its error, also where that comes while a heartbeat is being sent", async () => {
  const source = new Deferred<void>();
  let closed = false;
  const events = withHeartbeats(
    (async function* () {
      try {
        await source.promise;
        yield word("never");
      } finally {
        closed = true;
      }
    })(),
    INTERVAL_MS,
  );
  expect((await events.next()).value).toEqual({ kind: "heartbeat" });
  source.reject(new Error("gone"));
  await new Promise((resolve) => setImmediate(resolve));
  await expect(events.next()).rejects.toThrow("gone");
  expect(closed).toBe(true);
});

it("lets its source clean up where nobody asks any more", async () => {
  let closed = false;
  const source = (async function* () {
    try {
      yield word("one");
    } finally {
      closed = true;
    }
  })();
  for await (const event of withHeartbeats(source, INTERVAL_MS)) if (event.kind === "word") break;
  expect(closed).toBe(true);
});
