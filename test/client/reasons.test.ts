import { ERROR_REASONS, LOCAL_REASONS } from "../../src/client";
import { ERROR_REASONS as OF_THE_DAEMON } from "../../src/tasks/errors";

it("the client's reasons are the daemon's", () => {
  expect([...ERROR_REASONS].sort()).toEqual([...OF_THE_DAEMON].sort());
});

it("the client's own reasons are none of them", () => {
  expect(LOCAL_REASONS.filter((reason) => (ERROR_REASONS as readonly string[]).includes(reason))).toEqual([]);
});
