import { UnprovenConnections } from "../../src/rpc/access/unproven";

class Silent {
  closed = false;

  constructor(readonly address: string) {}

  close(): void {
    this.closed = true;
  }
}

let unproven: UnprovenConnections<Silent>;

beforeEach(() => {
  jest.useFakeTimers();
  unproven = new UnprovenConnections();
});

afterEach(() => {
  jest.useRealTimers();
});

function come(count: number, address = "a"): readonly Silent[] {
  const all = Array.from({ length: count }, () => new Silent(address));
  for (const one of all) unproven.add(one);
  return all;
}

function closedOf(all: readonly Silent[]): number {
  return all.filter(({ closed }) => closed).length;
}

it("each has ten seconds, whenever it came", () => {
  const early = come(1);
  jest.advanceTimersByTime(4_000);
  const late = come(1);
  jest.advanceTimersByTime(5_999);
  expect([closedOf(early), closedOf(late)]).toEqual([0, 0]);
  jest.advanceTimersByTime(1);
  expect([closedOf(early), closedOf(late)]).toEqual([1, 0]);
  jest.advanceTimersByTime(4_000);
  expect(closedOf(late)).toBe(1);
  expect(unproven.count).toBe(0);
});

it("those that are late together are closed a few in each turn", () => {
  const all = come(100);
  jest.advanceTimersByTime(10_000);
  let closed = closedOf(all);
  expect(closed).toBeLessThan(10);
  while (closed < 100) {
    jest.advanceTimersToNextTimer();
    expect(closedOf(all) - closed).toBeGreaterThan(0);
    expect(closedOf(all) - closed).toBeLessThan(10);
    closed = closedOf(all);
  }
});

it("what has been taken out is let be, and what comes again has its time anew", () => {
  const [stays, returns] = come(2);
  if (stays === undefined || returns === undefined) throw new Error("nobody has come");
  unproven.remove(stays);
  unproven.remove(returns);
  jest.advanceTimersByTime(9_000);
  unproven.add(returns);
  jest.advanceTimersByTime(9_000);
  expect([stays.closed, returns.closed]).toEqual([false, false]);
  jest.advanceTimersByTime(1_000);
  expect([stays.closed, returns.closed]).toEqual([false, true]);
});

it("the oldest of the address that has most makes way", () => {
  const others = come(2, "b");
  const [first, ...rest] = come(3, "a");
  unproven.closeOne();
  expect(first?.closed).toBe(true);
  for (const one of rest.slice(1)) unproven.remove(one);
  unproven.closeOne();
  expect([closedOf(others), others[0]?.closed, closedOf(rest)]).toEqual([1, true, 0]);
  expect(unproven.count).toBe(2);
});
