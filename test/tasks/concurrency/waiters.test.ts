import { Waiters } from "../../../src/tasks/concurrency/waiters";

const GONE = new Error("gone");

it("answers all who wait, and those who come later, with the first value", async () => {
  const waiters = new Waiters<number>();
  const early = [waiters.wait(), waiters.wait(new AbortController().signal)];
  waiters.settle(1);
  waiters.settle(2);
  expect(await Promise.all([...early, waiters.wait()])).toEqual([1, 1, 1]);
});

it("rejects for one who goes, or has gone, and for no other", async () => {
  const waiters = new Waiters<number>();
  const caller = new AbortController();
  const [gone, other] = [waiters.wait(caller.signal), waiters.wait()];
  caller.abort(GONE);
  await expect(gone).rejects.toBe(GONE);
  await expect(waiters.wait(caller.signal)).rejects.toBe(GONE);
  waiters.settle(1);
  expect(await other).toBe(1);
});
