import { basename } from "node:path";

import { until, type TestDaemon } from "./daemon";

/**
 * For afterEach: no task is alive, and nothing of one is left. What a failed test has left running is stopped,
 * so that its failure is not the next one's too.
 */
export async function expectNothingLeft(daemon: TestDaemon): Promise<void> {
  const left = daemon.leftovers();
  const uuids = new Set(daemon.taskCgroups().map((path) => basename(path)));
  const ids = [...uuids].map((uuid) => `CGROUP:${daemon.cgroupRoot}/${uuid}`);
  // Those without a cgroup are known by their Configure alone.
  if (left.length > 0) ids.push(...daemon.configured);
  await Promise.allSettled(ids.map((id) => daemon.client.forceStop(id)));
  expect(left).toEqual([]);
}

/** For tests whose callers go before the end has come, or whose tasks the host's pid 1 reaps: a while later. */
export async function expectNothingLeftSoon(daemon: TestDaemon): Promise<void> {
  await until(() => daemon.leftovers().length === 0).catch(() => undefined);
  await expectNothingLeft(daemon);
}
