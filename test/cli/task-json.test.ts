/** Tasks in JSON, as other tools of the API have them. */
import { taskJson } from "../../src/cli/task-json";
import { Task } from "../../src/client";

it.each([
  [0n, 0, "0s"],
  [0n, 1_780_000, "0.00178s"],
  [1n, 500_000_000, "1.5s"],
  [90n, 1, "90.000000001s"],
])("a span of %d s and %d ns is %j", (seconds, nanos, text) => {
  const task = Task.fromPartial({ exit: { usage: { cpuUser: { seconds, nanos } } } });
  expect(taskJson(task)).toMatchObject({ exit: { usage: { cpuUser: text } } });
});

it("what the host could not tell stays out, and a task that has not ended has no exit", () => {
  expect(taskJson(Task.fromPartial({ exit: { usage: { pidsPeak: 1n } } }))).toMatchObject({
    exit: { usage: { pidsPeak: "1" } },
  });
  expect(taskJson(Task.fromPartial({ id: "x" }))).toEqual({ id: "x" });
});
