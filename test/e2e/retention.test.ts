/** How long the record of a task is kept after its end, and how many records. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { Exit } from "../../src/client";
import { failure, SLEEPER, TestDaemon, until } from "../support/daemon";
import { exited, exitOf } from "../support/exits";
import { itRequires, SLOW } from "../support/requires";
import { allocs, changeRecord, entries, records } from "../support/task-files";

const TTL_SECONDS = 1;

function exitedMs(exit: Exit | undefined): number {
  return Number(exit?.exitedAt?.seconds ?? 0n) * 1000 + (exit?.exitedAt?.nanos ?? 0) / 1e6;
}

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
  const ended = exitedMs(exit);
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

it("with none kept, whoever waits for the end is told of it", async () => {
  await using daemon = await TestDaemon.start({ ended_max_records: 0 });
  const { id } = await daemon.started({ command: "/bin/sh", args: ["-c", "sleep 0.3; exit 5"] });
  const waits = Array.from({ length: 20 }, () => exitOf(daemon.client, id));
  for (const exit of await Promise.all(waits)) expect(exit).toMatchObject(exited(5));
  await expectForgotten(daemon, id);
  expect(records(daemon)).toEqual([]);
});

describe("the next daemon", () => {
  // A third of it is what a busy host may take to start a daemon.
  const TTL_MS = 9_000 * SLOW;

  itRequires("cgroups", "keeps a record for what is left of its time, whenever its task ended", async () => {
    await using daemon = await TestDaemon.start({
      ended_ttl_seconds: TTL_MS / 1000,
      end_tasks_on_stop: false,
    });
    const before = await daemon.run("exit 3");
    const between = await daemon.started({ command: "/bin/sh", args: ["-c", "sleep 1; exit 4"] });
    await daemon.end("SIGKILL");
    await until(() => daemon.initPids().length === 0);
    await sleep(TTL_MS / 3);
    await daemon.startAgain();
    expect(await exitOf(daemon.client, before.id)).toEqual(before.exit);
    const exits = [before.exit, await exitOf(daemon.client, between.id)];
    for (const [index, id] of [before.id, between.id].entries()) {
      await until(() => !existsSync(daemon.recordDir(id)));
      const kept = Date.now() - exitedMs(exits[index]);
      expect(kept).toBeGreaterThanOrEqual(TTL_MS);
      // Its whole time anew would be more.
      expect(kept).toBeLessThan(TTL_MS + TTL_MS / 3);
      await expectForgotten(daemon, id);
    }
  });

  itRequires("cgroups", "removes at once what had its time while none was there", async () => {
    await using daemon = await TestDaemon.start({ ended_ttl_seconds: 1, end_tasks_on_stop: false });
    const { id } = await daemon.run("exit 3");
    await daemon.end("SIGKILL");
    await sleep(1_000);
    expect(existsSync(daemon.recordDir(id))).toBe(true);
    await daemon.startAgain();
    await expectForgotten(daemon, id);
  });

  itRequires(
    ["root", "cgroups"],
    "lets go of what has ended while none was there after all that had ended before, however long it takes to start",
    async () => {
      await using daemon = await TestDaemon.start({ ended_max_records: 2, end_tasks_on_stop: false });
      const told = [await daemon.run("exit 1"), await daemon.run("exit 2")];
      const untold = await daemon.started({ command: "/bin/sh", args: ["-c", "sleep 1; exit 3"] });
      const unanswered = await daemon.configure({ ...SLEEPER, allocId: "unanswered", taskName: "one" });
      await daemon.end("SIGKILL");
      await until(() => daemon.initPids().length === 0);
      // As a Configure leaves it that has brought files, and whose caller has got no answer: they are all to be removed.
      changeRecord(
        daemon,
        unanswered,
        /"id": ?"[^"]+"(.*)"processes": ?\{[^}]*\}/s,
        '"id": ""$1"processes": null',
      );
      const local = join(daemon.allocDir("unanswered"), "one/local");
      for (let file = 0; file < 10_000; file++) writeFileSync(join(local, String(file)), "");
      await daemon.startAgain();
      expect(existsSync(daemon.allocDir("unanswered"))).toBe(false);
      await expectForgotten(daemon, told[0]?.id ?? "");
      expect(await exitOf(daemon.client, told[1]?.id ?? "")).toMatchObject(exited(2));
      expect(await exitOf(daemon.client, untold.id)).toMatchObject(exited(3));
    },
  );
});

describe("remove_alloc_dirs", () => {
  const names = (allocId: string, taskName: string) => ({ allocId, taskName });

  itRequires(
    "root",
    "each directory goes with the last record of its name, the alloc's with the last",
    async () => {
      await using daemon = await TestDaemon.start({ ended_max_records: 1, remove_alloc_dirs: true });
      const made = "echo > /local/x; mkdir -p /alloc/data/deep/er; echo > /alloc/data/deep/er/y";
      const running = await daemon.started({ ...SLEEPER, ...names("a", "running") });
      for (const name of ["one", "two", "two"]) await daemon.run(made, names("a", name));
      await until(() => !entries(daemon, "a").includes("one"));
      expect(entries(daemon, "a")).toEqual(["alloc", "running", "two"]);
      await daemon.run(made, names("b", "one"));
      await until(() => !entries(daemon, "a").includes("two"));
      expect(existsSync(join(daemon.allocDir("a"), "alloc/data/deep/er/y"))).toBe(true);
      await daemon.client.forceStop(running.id);
      await until(() => !existsSync(daemon.allocDir("b")));
      expect(entries(daemon, "a")).toEqual(["alloc", "running"]);
      await daemon.run(made, names("c", "one"));
      await until(() => allocs(daemon).length === 1);
      expect(allocs(daemon)).toEqual(["c"]);
      await until(() => records(daemon).length === 1);
    },
  );

  itRequires("root", "what is no task's stays, and so does the alloc directory that it is in", async () => {
    await using daemon = await TestDaemon.start({ ended_max_records: 0, remove_alloc_dirs: true });
    const first = await daemon.started({ ...SLEEPER, ...names("a", "one") });
    mkdirSync(join(daemon.allocDir("a"), "precious"));
    await daemon.client.forceStop(first.id);
    await until(() => !existsSync(join(daemon.allocDir("a"), "one")));
    expect(entries(daemon, "a")).toEqual(["alloc", "precious"]);
  });

  itRequires(
    "root",
    "a run of the same name keeps what an earlier one has left, whatever expires",
    async () => {
      await using daemon = await TestDaemon.start({ ended_ttl_seconds: 1, remove_alloc_dirs: true });
      const first = await daemon.run("echo kept > /local/x", names("a", "one"));
      const second = await daemon.started({ ...SLEEPER, ...names("a", "one") });
      await until(() => !existsSync(daemon.recordDir(first.id)));
      expect(readFileSync(join(daemon.allocDir("a"), "one/local/x"), "utf8")).toBe("kept\n");
      await daemon.client.forceStop(second.id);
      await until(() => !existsSync(daemon.allocDir("a")));
    },
  );

  itRequires(["root", "cgroups"], "the next daemon removes them too", async () => {
    await using daemon = await TestDaemon.start({
      ended_ttl_seconds: 1,
      remove_alloc_dirs: true,
      end_tasks_on_stop: false,
    });
    await daemon.run("true", names("a", "one"));
    await daemon.end("SIGKILL");
    expect(existsSync(daemon.allocDir("a"))).toBe(true);
    await daemon.startAgain();
    await until(() => !existsSync(daemon.allocDir("a")));
    await until(() => records(daemon).length === 0);
  });

  itRequires(
    ["root", "cgroups"],
    "what a daemon could not remove until its stop the next one does: the record is there until then",
    async () => {
      await using daemon = await TestDaemon.start({
        ended_ttl_seconds: 1,
        remove_alloc_dirs: true,
        end_tasks_on_stop: false,
      });
      const { id } = await daemon.run("mkdir /local/busy", names("a", "one"));
      const busy = join(daemon.allocDir("a"), "one/local/busy");
      execFileSync("mount", ["-t", "tmpfs", "none", busy]);
      try {
        await until(() => daemon.logged.includes("cannot remove the directories of an expired task"));
        await daemon.end("SIGTERM");
        expect(existsSync(busy)).toBe(true);
        expect(existsSync(daemon.recordDir(id))).toBe(true);
      } finally {
        execFileSync("umount", [busy]);
      }
      await daemon.startAgain();
      await until(() => !existsSync(daemon.allocDir("a")));
      await until(() => records(daemon).length === 0);
    },
  );

  itRequires(
    "root",
    "many of few names at once: no run loses its directory, and in the end none is left",
    async () => {
      await using daemon = await TestDaemon.start({
        ended_ttl_seconds: 1,
        ended_max_records: 12,
        remove_alloc_dirs: true,
      });
      const lane = async (allocId: string, taskName: string): Promise<void> => {
        for (let run = 0; run < 8; run++) {
          const script = `echo ${run} > /local/x && sleep 0.0${run} && cat /local/x && [ -d /alloc/data ]`;
          const id = await daemon.configure({
            ...names(allocId, taskName),
            command: "/bin/sh",
            args: ["-c", script],
          });
          await daemon.client.start(id);
          expect(await exitOf(daemon.client, id)).toMatchObject(exited(0));
        }
      };
      await Promise.all(["a", "b"].flatMap((alloc) => ["1", "2", "3"].map((name) => lane(alloc, name))));
      await until(() => allocs(daemon).length === 0);
    },
  );
});

it("else they stay, as they were left", async () => {
  await using daemon = await TestDaemon.start({ ended_max_records: 0 });
  const command = { command: "/bin/sh", args: ["-c", "echo > /local/x"] };
  const { id } = await daemon.started({ ...command, allocId: "a", taskName: "one" });
  await daemon.client.wait(id).catch(() => undefined);
  await until(() => records(daemon).length === 0);
  expect(existsSync(join(daemon.allocDir("a"), "one/local/x"))).toBe(true);
});
