import { AtMost } from "../../../src/tasks/concurrency/at-most";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("lets so many be under way, the others in their order, and goes on after a failure", async () => {
  const atMost = new AtMost(2);
  const begun: number[] = [];
  let running = 0;
  let most = 0;
  const work = async (index: number): Promise<number> => {
    begun.push(index);
    most = Math.max(most, ++running);
    await turn();
    running--;
    if (index === 1) throw new Error("one fails");
    return index;
  };
  const all = await Promise.allSettled([0, 1, 2, 3, 4].map((index) => atMost.run(() => work(index))));
  expect(all.map((one) => one.status === "fulfilled")).toEqual([true, false, true, true, true]);
  expect([begun, most]).toEqual([[0, 1, 2, 3, 4], 2]);
  expect(await atMost.run(() => Promise.resolve("again"))).toBe("again");
});
