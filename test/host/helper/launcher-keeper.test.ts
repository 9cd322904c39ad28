/** The launcher is lost, and the next, and the one after: a sandbox goes on by whichever there is at last. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";

import { LauncherKeeper } from "../../../src/host/helper/launcher-keeper";
import type { Launcher } from "../../../src/host/helper/launcher";
import type { Sandbox } from "../../../src/tasks/ports";
import { isAlive } from "../../support/processes";
import { itRequires } from "../../support/requires";
import { CGROUPS, withTask } from "../cgroup/support";
import { shell, stopProcess, TestLauncher } from "./support";

const SIGTERM = 15;

interface Kept {
  readonly keeper: LauncherKeeper;
  readonly first: TestLauncher;
  readonly sandbox: Sandbox;
  readonly started: readonly TestLauncher[];
  readonly errors: readonly string[];
  /** What is where inits belong. */
  readonly inits: number[];
}

/** A keeper with a task that runs; of the launchers that follow the first, `dying` die while they take it over. */
async function withKeeper(dying: number, test: (kept: Kept) => Promise<void>): Promise<void> {
  await withTask(async (cgroup, root) => {
    const defaults = { cgroupPrefix: root.shownPrefix };
    await using first = await TestLauncher.start(defaults);
    const started: TestLauncher[] = [];
    const startAnother = async (): Promise<Launcher> => {
      const next = await TestLauncher.start({ ...defaults, allocRoot: join(first.directory, "alloc") });
      started.push(next);
      if (started.length > dying) return next.launcher;
      // It hears what it is asked to take over, and never answers.
      await stopProcess(next.pid);
      setTimeout(() => process.kill(next.pid, "SIGKILL"), 50);
      return next.launcher;
    };
    const errors: string[] = [];
    const log = { info: () => undefined, error: (message: string) => errors.push(message) };
    const inits: number[] = [];
    const initPids = (): Promise<number[]> => Promise.resolve(inits.filter((pid) => isAlive(pid)));
    const keeper = new LauncherKeeper(first.launcher, { startAnother, initPids, log });
    const sandbox = await keeper.create(first.spec({ cgroup }), new AbortController().signal);
    await sandbox.start(shell("exec sleep 1000"));
    try {
      await test({ keeper, first, sandbox, started, errors, inits });
    } finally {
      await cgroup.kill();
      await keeper.stop();
      for (const launcher of started) await launcher[Symbol.asyncDispose]();
    }
  });
}

itRequires(CGROUPS, "one that dies while it takes over is followed by another", () =>
  withKeeper(2, async ({ first, sandbox, started, errors }) => {
    await first.kill();
    expect(await sandbox.signal(SIGTERM)).toBe(true);
    await sandbox.ended;
    expect(started).toHaveLength(3);
    expect(errors).toEqual([
      "the launcher has gone; the next one takes over",
      "a launcher cannot take over; the next one tries",
      "a launcher cannot take over; the next one tries",
    ]);
  }),
);

itRequires(CGROUPS, "where all of them die, there is none at last, and it says so", () =>
  withKeeper(Infinity, async ({ keeper, first, started }) => {
    await first.kill();
    expect((await keeper.gone).message).toContain("the launcher has gone");
    expect(started).toHaveLength(5);
  }),
);

itRequires(CGROUPS, "what it was to remove when it was lost, the next one removes", () =>
  withKeeper(0, async ({ keeper, first }) => {
    const directory = join(first.directory, "alloc/other");
    mkdirSync(directory);
    await stopProcess(first.pid);
    const removed = keeper.remove("alloc", "other", "task");
    await first.kill();
    await removed;
    expect(existsSync(directory)).toBe(false);
  }),
);

itRequires(
  CGROUPS,
  "a task of an earlier daemon's that it was to take over, the next one does, and kills nothing",
  () =>
    withKeeper(0, async ({ keeper, first, inits }) => {
      await using earlier = await TestLauncher.start();
      const made = await earlier.launcher.create(earlier.spec(), new AbortController().signal);
      await made.start(shell("exec sleep 1000"));
      const { initPid } = made.processes;
      inits.push(initPid);
      await earlier.kill();
      await stopProcess(first.pid);
      const attached = keeper.attach(made.processes);
      await first.kill();
      const sandbox = await attached;
      expect(isAlive(initPid)).toBe(true);
      await keeper.killStrays();
      expect(isAlive(initPid)).toBe(true);
      sandbox?.killInit();
      await sandbox?.ended;
    }),
);
