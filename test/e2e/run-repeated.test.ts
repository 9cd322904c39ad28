/** A Run that is repeated: all its callers have one task, and one answer. */
import { OwnDaemon } from "../../src/cli/own-daemon";
import { Resources, type RunRequest } from "../../src/client";
import type { ConfigureFields } from "../../src/client/configure-fields";
import { isRoot, PROGRAM, SLEEPER, TestDaemon } from "../support/daemon";
import { expectNothingLeftSoon } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { RunStream } from "../support/run-stream";
import { Scratch } from "../support/task-files";
import { programWithoutCgroups } from "../support/without-cgroups";

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
