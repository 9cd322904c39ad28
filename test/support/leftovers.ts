import { basename } from "node:path";

import type { TestDaemon } from "./daemon";

/**
 * For afterEach: no task is alive, and nothing of one is left. What a failed test has left running is stopped,
 * so that its failure is not the next one's too.
 */
export async function expectNothingLeft(daemon: TestDaemon): Promise<void> {
  const left = daemon.leftovers();
  const uuids = new Set(daemon.taskCgroups().map((path) => basename(path)));
  const stops = [...uuids].map((uuid) => daemon.client.forceStop(`CGROUP:${daemon.cgroupRoot}/${uuid}`));
  await Promise.allSettled(stops);
  expect(left).toEqual([]);
}
