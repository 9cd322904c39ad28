import { readFileSync } from "node:fs";
import { join } from "node:path";

import { HELPER_STEP_WORDS } from "../../src/tasks/helper-step.js";

it("the daemon and the helper number and word their steps alike", () => {
  const list = readFileSync(join(__dirname, "../../native/steps.def"), "utf8");
  const steps = [...list.matchAll(/^STEP\((\w+), "([^"]*)"\)$/gm)].map(([, name, words]) => [name, words]);
  expect(steps).not.toEqual([]);
  expect(Object.entries(HELPER_STEP_WORDS)).toEqual(steps);
});
