import { FairTurns } from "../../../src/tasks/concurrency/fair-turns";

const BUDGET_MS = 2;

function work(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

it("does at once what comes alone", () => {
  expect(new FairTurns(BUDGET_MS).enter()).toBeUndefined();
});

it.each([
  ["at once", "a turn whose time is up", 0, BUDGET_MS],
  ["some promises later", "a turn whose time is up", 5, BUDGET_MS],
  ["at once", "a fresh turn", 0, 0],
  ["some promises later", "a fresh turn", 5, 0],
])(
  "does what comes in a burst over several turns, in its order, where the work is done %s, in %s",
  async (_when, _where, promises, beforeMs) => {
    const turns = new FairTurns(BUDGET_MS);
    const done: { readonly index: number; readonly turn: number }[] = [];
    let turn = 0;
    const tick = (): void => {
      turn += 1;
      if (done.length < 20) setImmediate(tick);
    };
    setImmediate(tick);
    await turns.enter();
    work(beforeMs);
    // So that all of them come in one round of promises.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        await turns.enter();
        for (let n = 0; n < promises; n++) await Promise.resolve();
        work(1);
        done.push({ index, turn });
      }),
    );
    expect(done.map(({ index }) => index)).toEqual([...done.keys()]);
    const perTurn = new Map<number, number>();
    for (const one of done) perTurn.set(one.turn, (perTurn.get(one.turn) ?? 0) + 1);
    expect(Math.max(...perTurn.values())).toBeLessThanOrEqual(BUDGET_MS + 1);
  },
);
