/** I2 and I3: the daemon is killed when a task is on record, and before its client has been told of it. */
import { join } from "node:path";

import type { ConfigureFields } from "../../src/client";
import { failure, SLEEPER, TestDaemon, until } from "../support/daemon";
import { exitOf, neverStarted } from "../support/exits";
import { expectNothingLeft } from "../support/leftovers";
import { isLoss } from "../support/losses";
import { itRequires } from "../support/requires";
import { compileStepKiller, StepKiller, type KillPoint } from "../support/step-killer";
import { records, Scratch } from "../support/task-files";

/** The record with the task's processes, which is the last thing before the answer. */
const ON_RECORD: KillPoint = {
  step: "rename <directory>/state/tasks/<uuid>/record",
  nth: 2,
  victim: "daemon",
  when: "after",
};

const NAMED = { allocId: "a", taskName: "one", ...SLEEPER };

let scratch: Scratch;
let killer: StepKiller;
let daemon: TestDaemon;

beforeEach(async () => {
  scratch = new Scratch();
  killer = new StepKiller(compileStepKiller(scratch.path), join(scratch.path, "orders"));
  daemon = await TestDaemon.start({ end_tasks_on_stop: false }, undefined, killer.env);
});

afterEach(async () => {
  killer.disarm();
  await daemon.endAll();
  await expectNothingLeft(daemon);
  await daemon[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** The id of the task that came of a request whose answer is lost with the daemon. */
async function lose(request: ConfigureFields): Promise<string> {
  killer.arm(daemon, ON_RECORD);
  const lost = await failure(daemon.client.configure(request));
  expect(isLoss(lost)).toBe(true);
  await until(() => killer.killedAt() !== undefined);
  killer.disarm();
  await daemon.restart("SIGKILL");
  const [uuid = "", ...others] = records(daemon);
  expect(others).toEqual([]);
  return `CGROUP:${daemon.cgroupRoot}/${uuid}`;
}

itRequires("cgroups", "it was never started, is found by List, and its name is free", async () => {
  const id = await lose(NAMED);
  expect(await exitOf(daemon.client, id)).toMatchObject(neverStarted());
  const listed = [];
  for await (const task of daemon.client.listAll()) listed.push(task.id);
  expect(listed).toEqual([id]);
  expect(daemon.leftovers()).toEqual([]);
  const { id: again } = await daemon.client.configure(NAMED);
  expect(again).not.toBe(id);
  await daemon.client.start(again);
  await daemon.client.forceStop(again);
});

itRequires(
  "cgroups",
  "the request repeated is answered with it, and what has become of it is told",
  async () => {
    const request = { ...NAMED, requestId: "order 66" };
    const id = await lose(request);
    expect((await daemon.client.configure(request)).id).toBe(id);
    expect(records(daemon)).toHaveLength(1);
    expect(await failure(daemon.client.start(id))).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "ENDED",
    });
    expect(await exitOf(daemon.client, id)).toMatchObject(neverStarted());
    // Once it is deleted the same request makes a task anew.
    await daemon.client.delete(id);
    const { id: again } = await daemon.client.configure(request);
    expect(again).not.toBe(id);
    await daemon.client.start(again);
    await daemon.client.forceStop(again);
  },
);
