import { ERROR_REASONS } from "../../src/client";
import { ERROR_REASONS as OF_THE_DAEMON } from "../../src/tasks/errors";

it("the client's reasons are the daemon's", () => {
  expect([...ERROR_REASONS].sort()).toEqual([...OF_THE_DAEMON].sort());
});
