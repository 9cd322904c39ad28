/** A Run that is repeated: all its callers have one task, and one answer. */
import { OwnDaemon } from "../../src/cli/own-daemon";
import { Resources, type RunRequest } from "../../src/client";
import type { ConfigureFields } from "../../src/client/configure-fields";
import { failure, isRoot, PROGRAM, SLEEPER, TestDaemon } from "../support/daemon";
import { exited, forceStopped } from "../support/exits";
import { expectNothingLeftSoon } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { RunStream } from "../support/run-stream";
import { Scratch } from "../support/task-files";
import { programWithoutCgroups } from "../support/without-cgroups";

describe("by two at once", () => {
  let daemon: TestDaemon;

  beforeAll(async () => {
    daemon = await TestDaemon.start();
  });

  afterEach(() => expectNothingLeftSoon(daemon));

  afterAll(() => daemon[Symbol.asyncDispose]());

  /** The first of them, and then the second, once each has been told of the start. */
  async function twice(
    configure: ConfigureFields,
    rest?: Partial<RunRequest>,
  ): Promise<readonly [RunStream, RunStream, string]> {
    const name = daemon.freshName();
    const same = { allocId: name, taskName: name, requestId: name, ...configure };
    const first = new RunStream(daemon, same, rest);
    const id = await first.started();
    const second = new RunStream(daemon, same, rest);
    expect(await second.started()).toBe(id);
    return [first, second, id];
  }

  const ORDERS = [
    ["the first", 0],
    ["the second", 1],
  ] as const;

  it.each(ORDERS)("goes on when %s has gone, for the other", async (_which, at) => {
    const [first, second] = await twice({ command: "/bin/sh", args: ["-c", "sleep 2; echo end; exit 4"] });
    const [goes, stays] = at === 0 ? [first, second] : [second, first];
    goes.cancel();
    expect(await goes.ended).toMatchObject({ code: "CANCELLED" });
    expect(await stays.ended).toBeUndefined();
    expect(stays.exit).toMatchObject(exited(4));
    expect(stays.text("stdout")).toBe("end\n");
  });

  it.each(ORDERS)("ends when both have gone, %s before the other", async (_which, at) => {
    const [first, second, id] = await twice(SLEEPER);
    for (const goes of at === 0 ? [first, second] : [second, first]) {
      goes.cancel();
      await goes.ended;
    }
    expect((await daemon.client.wait(id)).exit).toMatchObject(forceStopped());
  });

  it("keeps its name until the other has its files, when the first has gone", async () => {
    // More than stream and connection hold of what nobody reads.
    const rest = {
      collect: Array.from({ length: 40 }, () => ({ path: "/local/big", maxBytes: 2n ** 20n })),
    };
    const script = "head -c 1000000 /dev/zero > /local/big; sleep 1";
    const [first, second, id] = await twice({ command: "/bin/sh", args: ["-c", script] }, rest);
    second.pause();
    first.cancel();
    await daemon.client.wait(id);
    const { task } = await daemon.client.get(id);
    const again = { allocId: task?.allocId ?? "", taskName: task?.taskName ?? "", command: "/bin/true" };
    const request = { ...again, allowUnenforced: !isRoot() };
    expect(await failure(daemon.client.configure(request))).toMatchObject({ reason: "TASK_EXISTS" });
    second.resume();
    expect(await second.ended).toBeUndefined();
    expect(second.events.filter(({ $case }) => $case === "file")).toHaveLength(40);
    await daemon.client.forceStop((await daemon.client.configure(request)).id);
  });
});

describe("is answered as the first was", () => {
  const same: ConfigureFields = {
    allocId: "a",
    taskName: "one",
    ...SLEEPER,
    requestId: "order 66",
    allowUnenforced: true,
  };
  // The kernel counts memory in pages, and few hosts have a disk that can weigh its users.
  const rest: Partial<RunRequest> = {
    resources: Resources.fromPartial({ memoryBytes: 2n ** 26n + 1n, ioWeight: 500n }),
    detachOnDisconnect: true,
  };

  async function startedBy(daemon: Pick<TestDaemon["daemon"], "address">): Promise<unknown> {
    using run = new RunStream({ daemon, freshName: () => "none" }, same, rest);
    await run.started();
    return run.events[0]?.value;
  }

  itRequires("cgroups", "whatever has become of its limits and its daemon", async () => {
    await using daemon = await TestDaemon.start({ end_tasks_on_stop: false });
    const first = await startedBy(daemon.daemon);
    expect(first).toMatchObject({ effective: { memoryBytes: 2n ** 26n } });
    const { id } = first as { readonly id: string };
    expect(await startedBy(daemon.daemon)).toEqual(first);
    await daemon.client.limit({ id, resources: { pidsMax: 7n } });
    expect(await startedBy(daemon.daemon)).toEqual(first);
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await daemon.restart(signal);
      expect(await startedBy(daemon.daemon)).toEqual(first);
    }
    await daemon.client.forceStop(id);
    expect(await startedBy(daemon.daemon)).toEqual(first);
    await daemon.restart("SIGKILL");
    expect(await startedBy(daemon.daemon)).toEqual(first);
    await expectNothingLeftSoon(daemon);
  });

  it("with what is not in force, where no limit is", async () => {
    using scratch = new Scratch();
    await using daemon = await OwnDaemon.start({
      program: isRoot() ? programWithoutCgroups(scratch) : PROGRAM,
      config: { end_tasks_on_stop: false },
    });
    const first = await startedBy(daemon);
    const { id, unenforced } = first as {
      readonly id: string;
      readonly unenforced: readonly { readonly name: string }[];
    };
    expect(unenforced.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["cgroup", "memory_bytes", "io_weight"]),
    );
    expect(await startedBy(daemon)).toEqual(first);
    await daemon.end("SIGKILL");
    await daemon.startAgain();
    expect(await startedBy(daemon)).toEqual(first);
    await daemon.client.forceStop(id);
  });
});
