/** The daemon, or its launcher, is short of what the host gives: tasks go on, and so does it once there is enough again. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ChrootMethod, type Exit } from "../../src/client";
import { failure, SLEEPER, TestDaemon, until, type Started } from "../support/daemon";
import { exited, exitOf, forceStopped, oomKilled } from "../support/exits";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires, type NeedName } from "../support/requires";
import {
  cgroups,
  daemonDescriptors,
  initProcesses,
  launcherDescriptors,
  type Shorten,
} from "../support/shortage";
import { allocs, records } from "../support/task-files";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start({ end_tasks_on_stop: false, ended_ttl_seconds: 600 });
});

afterEach(() => expectNothingLeft(daemon));

afterAll(async () => {
  await daemon.endAll();
  await daemon[Symbol.asyncDispose]();
});

interface Shortage {
  readonly shorten: Shorten;
  /** What a Configure may be left with, and fail. */
  readonly upTo: number;
  readonly needs: readonly NeedName[];
}

const SHORTAGES: Readonly<Record<string, Shortage>> = {
  "the daemon's descriptors": { shorten: daemonDescriptors, upTo: 3, needs: ["root"] },
  "the launcher's descriptors": { shorten: launcherDescriptors, upTo: 14, needs: ["root", "cgroups"] },
  "processes of launcher and inits": { shorten: initProcesses, upTo: 3, needs: ["root", "cgroups"] },
  cgroups: { shorten: cgroups, upTo: 1, needs: ["root", "cgroups", "cgroup-descendants"] },
};

/** Writes a line after the other until it is let go, and exits with 6. */
const WRITER =
  "i=0; while [ ! -e /local/go ]; do i=$((i+1)); echo line $i || exit 99; sleep 0.01; done; exit 6";

interface Writer extends Started {
  readonly letGo: () => void;
}

async function startWriter(script = WRITER): Promise<Writer> {
  const name = daemon.freshName();
  const started = await daemon.started({
    allocId: name,
    taskName: name,
    command: "/bin/sh",
    args: ["-c", script],
  });
  const go = join(daemon.allocDir(name), name, "local/go");
  return { ...started, letGo: () => writeFileSync(go, "") };
}

/** No line is missing, and none is twice. */
async function expectWholeOutput(id: string): Promise<void> {
  const lines = (await daemon.output(id)).stdout.trim().split("\n");
  expect(lines).toEqual(lines.map((_line, index) => `line ${index + 1}`));
}

describe.each(Object.entries(SHORTAGES))("%s", (_what, { shorten, upTo, needs }) => {
  itRequires(needs, "none: HOST_EXHAUSTED; what runs goes on, and all is well afterwards", async () => {
    const descriptors = daemon.descriptors();
    const before = [records(daemon).length, allocs(daemon).length];
    const [writer, stopped] = [await startWriter(), await daemon.started()];
    await until(async () => (await daemon.output(writer.id)).stdout.includes("line 3"));
    const restore = shorten(daemon, 0);
    let ends: Promise<Exit[]>;
    try {
      for (let tries = 0; tries < 3; tries++) {
        expect(await failure(daemon.configure(SLEEPER))).toMatchObject({
          code: "RESOURCE_EXHAUSTED",
          reason: "HOST_EXHAUSTED",
          metadata: { errno: expect.stringMatching(/^E(AGAIN|MFILE)$/) },
        });
      }
      const lines = (await daemon.output(writer.id)).stdout.length;
      await until(async () => (await daemon.output(writer.id)).stdout.length > lines);
      ends = Promise.all([writer, stopped].map(({ id }) => exitOf(daemon.client, id)));
      writer.letGo();
      daemon.client.forceStop(stopped.id).catch(() => undefined);
      await until(() => !existsSync(`/proc/${writer.pid}`) && !existsSync(`/proc/${stopped.pid}`));
    } finally {
      restore();
    }
    const [written, killed] = await ends;
    expect(written).toMatchObject(exited(6));
    expect(written?.usage?.cpuUser).toBeDefined();
    expect(killed).toMatchObject(forceStopped());
    await expectWholeOutput(writer.id);
    expect((await daemon.run("exit 3")).exit).toMatchObject(exited(3));
    // What could not be taken back at once is tried again.
    await until(() => daemon.leftovers().length === 0);
    const counts = (): number[] => [records(daemon).length, allocs(daemon).length];
    await until(() => counts().every((count, index) => count === (before[index] ?? 0) + 3));
    await until(() => daemon.descriptors() <= descriptors);
  });

  itRequires(needs, "a few more or less: HOST_EXHAUSTED or a whole task, and nothing else", async () => {
    const before = allocs(daemon).length;
    let whole = 0;
    for (let left = 1; left <= upTo; left++) {
      const restore = shorten(daemon, left);
      let id: string | undefined;
      try {
        id = await daemon.configure({ command: "/bin/sh", args: ["-c", "exit 5"] });
      } catch (error) {
        expect(error).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "HOST_EXHAUSTED" });
      } finally {
        restore();
      }
      if (id === undefined) await until(() => daemon.leftovers().length === 0);
      else {
        whole++;
        await daemon.client.start(id);
        expect(await exitOf(daemon.client, id)).toMatchObject(exited(5));
      }
    }
    expect(allocs(daemon)).toHaveLength(before + whole);
    expect((await daemon.run("exit 3")).exit).toMatchObject(exited(3));
  });
});

itRequires(
  ["root", "cgroups"],
  "what the daemon could not read or write while it was out of descriptors is as true after it, and for the next one",
  async () => {
    const grow =
      "until [ -e /local/go ]; do sleep 0.01; done; exec dd if=/dev/zero of=/dev/shm/x bs=1M count=64";
    const hungry = await startWriter(grow);
    await daemon.client.limit({ id: hungry.id, resources: { memoryBytes: 16n << 20n } });
    const [stopped, writer] = [await daemon.started(), await startWriter()];
    const logged = daemon.logged.length;
    const restore = daemonDescriptors(daemon, 0);
    const ids = [hungry.id, stopped.id, writer.id];
    const ends = Promise.all(ids.map((id) => exitOf(daemon.client, id)));
    try {
      hungry.letGo();
      writer.letGo();
      daemon.client.forceStop(stopped.id).catch(() => undefined);
      await until(() => [hungry, stopped, writer].every(({ pid }) => !existsSync(`/proc/${pid}`)));
      await until(() => daemon.logged.slice(logged).includes("cannot write the record"));
    } finally {
      restore();
    }
    const told = await ends;
    expect(told).toMatchObject([oomKilled(), forceStopped(), exited(6)]);
    await expectWholeOutput(writer.id);
    for (const id of ids) await until(async () => (await daemon.record(id)).includes('"reason"'));
    await daemon.restart("SIGKILL");
    expect(await Promise.all(ids.map((id) => exitOf(daemon.client, id)))).toEqual(told);
  },
);

itRequires(
  ["root", "cgroups"],
  "a tree that there was no process to remove is removed once there is, and then Wait answers",
  async () => {
    const name = daemon.freshName();
    const id = await daemon.configure({
      allocId: name,
      taskName: name,
      chroot: { "/etc/hostname": "/etc/hostname" },
      chrootMethod: ChrootMethod.CHROOT_METHOD_LINK,
      ...SLEEPER,
    });
    const tree = join(daemon.allocDir(name), name, "etc");
    expect(existsSync(tree)).toBe(true);
    const logged = daemon.logged.length;
    // Init's own is not to be had again when it has gone.
    const restore = initProcesses(daemon, -1);
    const ended = exitOf(daemon.client, id);
    try {
      daemon.client.forceStop(id).catch(() => undefined);
      await until(() => daemon.logged.slice(logged).includes("something of an ended task is left"));
      expect(existsSync(tree)).toBe(true);
    } finally {
      restore();
    }
    await ended;
    expect(existsSync(tree)).toBe(false);
  },
);

itRequires("root", "a record that could not be removed at its time is removed once it can be", async () => {
  await using brief = await TestDaemon.start({ ended_ttl_seconds: 1 });
  const { id } = await brief.run("true");
  const restore = daemonDescriptors(brief, 0);
  try {
    await until(() => brief.logged.includes("cannot remove an expired record"));
  } finally {
    restore();
  }
  expect(await failure(brief.client.wait(id))).toMatchObject({ reason: "TASK_NOT_FOUND" });
  await until(() => !existsSync(brief.recordDir(id)));
});
