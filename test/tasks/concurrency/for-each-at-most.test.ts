import { forEachAtMost } from "../../../src/tasks/concurrency/for-each-at-most";

it("does all, and never more at one time than it may", async () => {
  const done: number[] = [];
  let under = 0;
  let most = 0;
  await forEachAtMost(3, [1, 2, 3, 4, 5, 6, 7], async (item) => {
    most = Math.max(most, ++under);
    await new Promise((resolve) => setImmediate(resolve));
    under--;
    done.push(item);
  });
  expect(most).toBe(3);
  expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

it("rejects with a failure when nothing is under way any more", async () => {
  let under = 0;
  const all = forEachAtMost(2, [1, 2, 3, 4], async (item) => {
    under++;
    await new Promise((resolve) => setImmediate(resolve));
    under--;
    if (item === 1) throw new Error("one");
  });
  await expect(all).rejects.toThrow("one");
  expect(under).toBe(0);
});
