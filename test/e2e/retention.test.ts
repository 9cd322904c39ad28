/** How long the record of a task is kept after its end, and how many records. */
import { existsSync } from "node:fs";

import { failure, TestDaemon, until } from "../support/daemon";
import { exited, exitOf } from "../support/exits";
import { records } from "../support/task-files";

const TTL_SECONDS = 1;

/** What each call by an id answers once the record has gone. */
async function expectForgotten(daemon: TestDaemon, id: string): Promise<void> {
  const { client } = daemon;
  for (const call of [
    client.wait(id),
    client.open({ id }),
    client.start(id),
    client.shutdown({ id }),
    client.forceStop(id),
    client.limit({ id, resources: { pidsMax: 5n } }),
  ]) {
    expect(await failure(call)).toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND" });
  }
  await until(() => !existsSync(daemon.recordDir(id)));
}

it("a record goes ended_ttl_seconds after its task's end: no sooner, and with its directory", async () => {
  await using daemon = await TestDaemon.start({ ended_ttl_seconds: TTL_SECONDS });
  const running = await daemon.started();
  const { id, exit } = await daemon.run("echo kept; exit 7");
  const ended = Number(exit.exitedAt?.seconds ?? 0n) * 1000 + (exit.exitedAt?.nanos ?? 0) / 1e6;
  expect(await exitOf(daemon.client, id)).toMatchObject(exited(7));
  expect((await daemon.output(id)).stdout).toBe("kept\n");
  await until(() => !existsSync(daemon.recordDir(id)));
  expect(Date.now() - ended).toBeGreaterThanOrEqual(TTL_SECONDS * 1000);
  await expectForgotten(daemon, id);
  // Its time begins with its end.
  expect((await daemon.client.open({ id: running.id })).exit).toBeUndefined();
  await daemon.client.forceStop(running.id);
  expect(existsSync(daemon.recordDir(running.id))).toBe(true);
});

it("of more than ended_max_records the oldest go at once; those of tasks that run do not count", async () => {
  await using daemon = await TestDaemon.start({ ended_max_records: 2 });
  const running = await daemon.started();
  const ids: string[] = [];
  for (const code of [1, 2, 3, 4]) ids.push((await daemon.run(`exit ${code}`)).id);
  for (const id of ids.slice(0, 2)) await expectForgotten(daemon, id);
  expect(await exitOf(daemon.client, ids[2] ?? "")).toMatchObject(exited(3));
  expect(await exitOf(daemon.client, ids[3] ?? "")).toMatchObject(exited(4));
  expect(records(daemon)).toHaveLength(3);
  await daemon.client.forceStop(running.id);
  await expectForgotten(daemon, ids[2] ?? "");
});
