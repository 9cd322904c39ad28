import { Deferred } from "../../../src/tasks/concurrency/deferred";
import { Refreshed } from "../../../src/tasks/concurrency/refreshed";

const AGES = { refreshMs: 5, mostMs: 30 };

let nowMs = 0;
let asked: Deferred<number>[] = [];
let value: Refreshed<number>;

beforeEach(() => {
  nowMs = 0;
  asked = [];
  const lookUp = (): Promise<number> => {
    const answer = new Deferred<number>();
    asked.push(answer);
    return answer.promise;
  };
  value = new Refreshed(lookUp, AGES, () => nowMs);
});

/** Has the first value known. */
async function first(): Promise<void> {
  const read = value.read();
  asked[0]?.resolve(1);
  expect(await read).toBe(1);
}

it("is looked up once for all who wait for the first", async () => {
  const reads = [value.read(), value.read()];
  expect(asked).toHaveLength(1);
  asked[0]?.resolve(1);
  expect(await Promise.all(reads)).toEqual([1, 1]);
});

it("is not looked up while it is young", async () => {
  await first();
  nowMs = AGES.refreshMs - 1;
  expect(await value.read()).toBe(1);
  expect(asked).toHaveLength(1);
});

it("is given as it is, and looked up once in the background, when it is older", async () => {
  await first();
  nowMs = AGES.refreshMs;
  expect(await Promise.all([value.read(), value.read()])).toEqual([1, 1]);
  expect(asked).toHaveLength(2);
  asked[1]?.resolve(2);
  await new Promise((resolve) => setImmediate(resolve));
  expect(await value.read()).toBe(2);
});

it("is waited for when it is too old", async () => {
  await first();
  nowMs = AGES.mostMs;
  const read = value.read();
  asked[1]?.resolve(2);
  expect(await read).toBe(2);
});

it("that cannot be looked up is told to who waits for it, and tried again; who need not wait has the last", async () => {
  const failing = value.read();
  asked[0]?.reject(new Error("no descriptors"));
  await expect(failing).rejects.toThrow("no descriptors");
  const again = value.read();
  asked[1]?.resolve(1);
  expect(await again).toBe(1);
  nowMs = AGES.refreshMs;
  expect(await value.read()).toBe(1);
  asked[2]?.reject(new Error("no descriptors"));
  await new Promise((resolve) => setImmediate(resolve));
  expect(await value.read()).toBe(1);
});
