/** Many tasks, one after the other and at once: every exit is true, and nothing grows. */
import { readFileSync } from "node:fs";

import { ExitReason } from "../../src/client";
import { TestDaemon, until } from "../support/daemon";
import { SLOW } from "../support/requires";

const SEQUENTIAL = 200;
const LANES = 30;
const PER_LANE = 20 / SLOW;

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start({ ended_max_records: 100 });
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

/** Runs `exit <code>` and holds the answer against it. */
async function runOne(name: string, code: number): Promise<void> {
  const { exit } = await daemon.run(`echo ${name}; exit ${code}`, { allocId: name, taskName: name });
  expect(exit).toMatchObject({
    reason: ExitReason.EXIT_REASON_EXITED,
    status: { $case: "exitCode", value: code },
  });
}

function residentKilobytes(): number {
  const status = readFileSync(`/proc/${daemon.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
}

it(`${SEQUENTIAL} tasks in a row and ${LANES} at once leave nothing, and lose no exit`, async () => {
  for (let i = 0; i < SEQUENTIAL; i++) await runOne("row", i % 256);
  const descriptors = daemon.descriptors();
  const resident = residentKilobytes();
  const lanes = Array.from({ length: LANES }, async (_lane, lane) => {
    for (let i = 0; i < PER_LANE; i++) await runOne(`lane${lane}`, (lane * PER_LANE + i) % 256);
  });
  await Promise.all(lanes);
  expect(daemon.leftovers()).toEqual([]);
  await until(() => daemon.descriptors() <= descriptors);
  // A heap that has seen 600 tasks more may be larger by its own slack, not by what tasks left.
  expect(residentKilobytes() - resident).toBeLessThan(64 * 1024);
});
