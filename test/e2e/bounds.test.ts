/** What a daemon and its host have no more of is refused, changes nothing, and can be had again later. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { type ConfigureFields } from "../../src/client";
import { findCgroupFile } from "../support/cgroup-files";
import { descendants, failure, SLEEPER, TestDaemon, until } from "../support/daemon";
import { exited } from "../support/exits";
import { itRequires } from "../support/requires";

const MIB = 2 ** 20;

/** Counted as four bytes each, and no more than a request may hold. */
const BIG: ConfigureFields = { command: "/bin/true", env: { A: "x".repeat(1.5 * MIB) } };

it("as many tasks as max_tasks are alive: TOO_MANY_TASKS, until one has ended", async () => {
  await using daemon = await TestDaemon.start({ max_tasks: 2 });
  const first = await daemon.started();
  await daemon.configure(SLEEPER);
  const before = daemon.leftovers();
  expect(await failure(daemon.configure(SLEEPER))).toMatchObject({
    code: "RESOURCE_EXHAUSTED",
    reason: "TOO_MANY_TASKS",
  });
  expect(daemon.leftovers()).toEqual(before);
  await daemon.client.forceStop(first.id);
  await daemon.configure(SLEEPER);
});

describe("the requests that wait for Start", () => {
  let daemon: TestDaemon;

  beforeAll(async () => {
    daemon = await TestDaemon.start({ unstarted_bytes: 8 * MIB });
  });

  afterAll(() => daemon?.[Symbol.asyncDispose]());

  afterEach(async () => {
    await Promise.all(daemon.configured.map((id) => daemon.client.forceStop(id)));
    expect(daemon.leftovers()).toEqual([]);
  });

  async function expectFull(): Promise<void> {
    const before = daemon.leftovers();
    expect(await failure(daemon.configure(BIG))).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "UNSTARTED_BYTES_EXCEEDED",
    });
    expect(daemon.leftovers()).toEqual(before);
  }

  it.each<readonly [string, (id: string) => Promise<unknown>]>([
    // It fails, its environment being too large to be executed; and is over.
    ["Start", (id) => daemon.client.start(id).catch(() => undefined)],
    ["ForceStop", (id) => daemon.client.forceStop(id)],
  ])("hold so many bytes: UNSTARTED_BYTES_EXCEEDED, until %s", async (_, end) => {
    const id = await daemon.configure(BIG);
    await daemon.configure(BIG);
    await expectFull();
    await daemon.configure({ command: "/bin/true" });
    await end(id);
    await daemon.configure(BIG);
    await expectFull();
  });

  it("hold them no more once they run", async () => {
    const env = Object.fromEntries(
      Array.from({ length: 15 }, (_, index) => [`A${index}`, "x".repeat(100_000)]),
    );
    const ids: string[] = [];
    for (let count = 0; count < 6; count++) {
      const { id } = await daemon.started({ command: "/bin/sleep", args: ["1000"], env });
      ids.push(id);
    }
    expect(new Set(ids).size).toBe(6);
  });

  it("hold none where Configure has failed", async () => {
    for (let count = 0; count < 5; count++) {
      expect(await failure(daemon.configure({ ...BIG, user: "no-such-user" }))).toMatchObject({
        reason: "USER_UNKNOWN",
      });
      expect(await failure(daemon.configure({ ...BIG, workDir: "/nowhere" }))).toMatchObject({
        reason: "SANDBOX_FAILED",
      });
    }
    await daemon.configure(BIG);
    await daemon.configure(BIG);
    await expectFull();
  });

  it("are counted by what they hold, of whatever kind", async () => {
    await using small = await TestDaemon.start({ unstarted_bytes: MIB });
    const many = Array.from({ length: 8_192 }, (_, index) => `${index}`.padEnd(100, "x"));
    const requests: readonly ConfigureFields[] = [
      { args: many },
      { env: Object.fromEntries(many.map((name) => [name, ""])) },
      { meta: Object.fromEntries(many.map((name) => [name, ""])) },
      { ports: Object.fromEntries(many.map((name) => [name, 1])) },
    ];
    for (const request of requests) {
      expect(await failure(small.configure({ command: "/bin/true", ...request }))).toMatchObject({
        reason: "UNSTARTED_BYTES_EXCEEDED",
      });
    }
  });
});

itRequires(
  ["root", "cgroups"],
  "the host makes no more processes: HOST_EXHAUSTED, until it does again",
  async () => {
    await using daemon = await TestDaemon.start();
    const file = findCgroupFile(`${daemon.cgroupRoot}/inits`, "pids.max");
    const count = findCgroupFile(`${daemon.cgroupRoot}/inits`, "pids.current");
    if (file === undefined || count === undefined) throw new Error("no pids controller");
    writeFileSync(file, readFileSync(count, "utf8"));
    const error = await failure(daemon.configure({ command: "/bin/true" }));
    expect(error).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "HOST_EXHAUSTED",
      metadata: { stage: "clone_init", errno: "EAGAIN" },
    });
    expect(daemon.leftovers()).toEqual([]);
    writeFileSync(file, "max");
    expect((await daemon.run("true")).exit).toMatchObject(exited(0));
  },
);

it("the daemon is stopping: STOPPING", async () => {
  await using daemon = await TestDaemon.start();
  const { pid } = await daemon.started();
  // An init that does not move: the daemon gives it a second before it kills it.
  const [launcher = 0] = descendants(daemon.pid);
  const [init = 0] = descendants(launcher);
  process.kill(init, "SIGSTOP");
  process.kill(daemon.pid, "SIGTERM");
  await until(() => daemon.logged.includes('"stopping"'));
  expect(await failure(daemon.configure(SLEEPER))).toMatchObject({ code: "UNAVAILABLE", reason: "STOPPING" });
  await until(() => !existsSync(`/proc/${pid}`));
});
