import { EarliestTimer } from "../../../src/tasks/concurrency/earliest-timer";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** A timer, and at which milliseconds it has fired. */
function recorded(): { timer: EarliestTimer; fired: number[] } {
  const fired: number[] = [];
  const began = Date.now();
  return { timer: new EarliestTimer(() => fired.push(Date.now() - began)), fired };
}

it("fires once, at the earliest deadline, whichever was set first", () => {
  for (const deadlines of [
    [300, 100, 200],
    [100, 300, 200],
  ]) {
    const { timer, fired } = recorded();
    for (const ms of deadlines) timer.inAtMost(ms);
    jest.runAllTimers();
    expect(fired).toEqual([100]);
  }
});

it("does not fire once cancelled, and can be set again after it has fired", () => {
  const { timer, fired } = recorded();
  timer.inAtMost(100);
  timer.cancel();
  jest.runAllTimers();
  expect(fired).toEqual([]);
  timer.inAtMost(100);
  jest.runAllTimers();
  timer.inAtMost(500);
  jest.runAllTimers();
  expect(fired).toEqual([100, 600]);
});
