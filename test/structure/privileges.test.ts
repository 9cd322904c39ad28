import { readFileSync } from "node:fs";
import { join } from "node:path";

import { HELPER_STEPS } from "../../src/tasks/helper-step.js";

const ROOT = join(__dirname, "../..");

const rows = readFileSync(join(ROOT, "native/PRIVILEGES.md"), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) => line.split("|").map((cell) => cell.trim()));

it("every step of the helper has its row among the privileged steps, in their order", () => {
  expect(rows.map(([, step]) => step)).toEqual(HELPER_STEPS.map((step) => `\`${step}\``));
});

it.each(rows.map(([, step, , , proof]) => [step, proof]))("the proof of %s is there: %s", (_, proof) => {
  const [, file = "", title = ""] = /^(test\/\S+\.(?:test\.ts|c)): (.+)$/.exec(proof ?? "") ?? [];
  expect(readFileSync(join(ROOT, file), "utf8")).toContain(`"${title}"`);
});
