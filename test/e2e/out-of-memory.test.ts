/** A daemon whose heap is nearly full refuses what would overflow it, serves on, and takes more when there is room. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { StockadeError, TaskState } from "../../src/client";
import { TestDaemon, until } from "../support/daemon";
import { exited, exitOf } from "../support/exits";
import { itRequires } from "../support/requires";

/** Of the daemon's heap, in MiB: enough to start with. */
const HEAP_MIB = 48;
/** Bytes of one request's environment. */
const ENVIRONMENT_BYTES = 1_500_000;
const VALUE = "x".repeat(30_000);
const LARGE = Object.fromEntries(
  Array.from({ length: ENVIRONMENT_BYTES / VALUE.length }, (_, index) => [`A${index}`, `${index}${VALUE}`]),
);

const WRITER =
  "i=0; while [ ! -e /local/go ]; do i=$((i+1)); echo line $i || exit 99; sleep 0.01; done; exit 6";

/** Garbage takes room until it is collected. */
function hasRoom(configured: Promise<string>): Promise<boolean> {
  return configured.then(
    () => true,
    (error: unknown) => {
      if (error instanceof StockadeError && error.reason === "HOST_EXHAUSTED") return false;
      throw error;
    },
  );
}

itRequires(
  "cgroups",
  "tasks run on, small requests are taken, and large ones again when there is room",
  async () => {
    const env = { ...process.env, NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` };
    await using daemon = await TestDaemon.start({ unstarted_bytes: 2 ** 34 }, undefined, env);
    const name = daemon.freshName();
    const writer = await daemon.started({
      allocId: name,
      taskName: name,
      command: "/bin/sh",
      args: ["-c", WRITER],
    });
    const { pid } = daemon;
    const waiting: string[] = [];
    const configureLarge = (): Promise<string> => daemon.configure({ command: "/bin/true", env: LARGE });
    const flood = async (): Promise<void> => {
      for (;;) waiting.push(await configureLarge());
    };

    const outcomes = await Promise.allSettled([flood(), flood(), flood()]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: { reason: "HOST_EXHAUSTED", metadata: { errno: "ENOMEM" } },
      });
    }
    expect(waiting.length).toBeGreaterThan(3);
    expect((await daemon.client.open({ id: writer.id })).state).toBe(TaskState.TASK_STATE_RUNNING);
    await until(() => hasRoom(daemon.configure({ command: "/bin/true" })));
    await Promise.all(waiting.map((id) => daemon.client.forceStop(id)));
    await until(() => hasRoom(configureLarge()));
    writeFileSync(join(daemon.allocDir(name), name, "local/go"), "");
    expect(await exitOf(daemon.client, writer.id)).toMatchObject(exited(6));
    const lines = (await daemon.output(writer.id)).stdout.trim().split("\n");
    expect(lines).toEqual(lines.map((_line, index) => `line ${index + 1}`));
    expect((await daemon.run("exit 4")).exit).toMatchObject(exited(4));
    expect(daemon.pid).toBe(pid);
    await daemon.endAll();
    expect(daemon.leftovers()).toEqual([]);
  },
);
