import { mkdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { nodeDisk, type Disk } from "../../src/store/disk";
import { GroupSync } from "../../src/store/group-sync";
import { SLOW } from "../support/requires";
import { diskWith, errorWith, KeptLog, stateDirectory, UUID_A, UUID_B } from "./support";
import { Deferred } from "../../src/tasks/concurrency/deferred";

const made = stateDirectory();

/** Keeps which files are synced, "a/record", and when the last of a group, the directory of all, is. */
class WatchedDisk {
  readonly synced: string[] = [];
  /** Fails the syncs of these. */
  readonly failing = new Set<string>();
  private groupEnded = (): void => undefined;

  readonly disk: Disk = diskWith({
    fsync: async (fd) => {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      const name = path === made.tasks ? "tasks" : path.slice(made.tasks.length + 1);
      await this.before(name);
      this.synced.push(name);
      if (this.failing.has(name)) throw errorWith("EIO");
      await nodeDisk.fsync(fd);
      if (name === "tasks") this.groupEnded();
    },
  });

  /** What happens before a file is synced. */
  before: (name: string) => Promise<void> | void = () => undefined;

  nextGroup(): Promise<void> {
    return new Promise((resolve) => (this.groupEnded = resolve));
  }
}

function makeTask(uuid: string, { exit } = { exit: true }): void {
  mkdirSync(join(made.tasks, uuid));
  writeFileSync(join(made.tasks, uuid, "record"), "a record");
  if (exit) writeFileSync(join(made.tasks, uuid, "exit"), "an exit record");
}

const filesOf = (uuid: string): string[] => [`${uuid}/record`, `${uuid}/exit`, uuid];

function sync(watched: WatchedDisk, log = new KeptLog()): GroupSync {
  return new GroupSync(watched.disk, made.tasks, log);
}

it("what is written is synced within a second, in one group, and the directory of all last", async () => {
  const watched = new WatchedDisk();
  const group = sync(watched);
  const ended = watched.nextGroup();
  const began = performance.now();
  for (const uuid of [UUID_A, UUID_B]) {
    makeTask(uuid);
    group.add(uuid);
    group.add(uuid);
  }
  expect(watched.synced).toEqual([]);
  await ended;
  expect(performance.now() - began).toBeLessThan(1_000 * SLOW);
  expect(watched.synced.slice().sort()).toEqual([...filesOf(UUID_A), ...filesOf(UUID_B), "tasks"].sort());
  expect(watched.synced.at(-1)).toBe("tasks");
  expect(watched.synced.indexOf(`${UUID_A}/record`)).toBeLessThan(watched.synced.indexOf(UUID_A));
});

it("flush syncs at once, and a second one has nothing to do", async () => {
  const watched = new WatchedDisk();
  const group = sync(watched);
  makeTask(UUID_A);
  group.add(UUID_A);
  await group.flush();
  expect(watched.synced).toEqual([...filesOf(UUID_A), "tasks"]);
  await group.flush();
  expect(watched.synced).toHaveLength(4);
});

it("what is written while a group is synced is in the next one", async () => {
  const watched = new WatchedDisk();
  const group = sync(watched);
  makeTask(UUID_A);
  group.add(UUID_A);
  watched.before = (name) => {
    if (name === `${UUID_A}/exit`) group.add(UUID_A);
    if (name === "tasks") watched.before = () => undefined;
  };
  const next = watched.nextGroup();
  await group.flush();
  await next;
  await group.flush();
  expect(watched.synced).toEqual([...filesOf(UUID_A), "tasks", ...filesOf(UUID_A), "tasks"]);
});

it("a flush waits for the group that is under way", async () => {
  const watched = new WatchedDisk();
  const group = sync(watched);
  makeTask(UUID_A);
  group.add(UUID_A);
  let open = (): void => undefined;
  const held = new Promise<void>((resolve) => (open = resolve));
  watched.before = (name) => (name === "tasks" ? held : undefined);
  const first = group.flush();
  let flushed = false;
  const second = group.flush().then(() => (flushed = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(flushed).toBe(false);
  open();
  await Promise.all([first, second]);
});

it("a task without an exit record, and one whose record is removed meanwhile, are no failures", async () => {
  const watched = new WatchedDisk();
  const log = new KeptLog();
  const group = sync(watched, log);
  makeTask(UUID_A, { exit: false });
  makeTask(UUID_B);
  group.add(UUID_A);
  group.add(UUID_B);
  watched.failing.add(`${UUID_B}/exit`);
  watched.before = (name) => {
    if (name !== `${UUID_B}/exit`) return;
    group.forget(UUID_B);
    rmSync(join(made.tasks, UUID_B), { recursive: true });
  };
  await group.flush();
  expect(watched.synced).toContain(`${UUID_B}/exit`);
  expect(log.errors).toEqual([]);
  watched.synced.length = 0;
  await group.flush();
  expect(watched.synced).toEqual([]);
});

it("a record that is removed before its group is left alone", async () => {
  const watched = new WatchedDisk();
  const group = sync(watched);
  makeTask(UUID_A);
  makeTask(UUID_B);
  group.add(UUID_A);
  group.add(UUID_B);
  group.forget(UUID_A);
  await group.flush();
  expect(watched.synced).toEqual([...filesOf(UUID_B), "tasks"]);
});

it.each([
  ["a record", `${UUID_A}/record`, [UUID_A]],
  ["the directory of all", "tasks", [UUID_A, UUID_B]],
])(
  "%s that cannot be synced is reported once, and synced again until it can",
  async (_what, failing, again) => {
    const watched = new WatchedDisk();
    const log = new KeptLog();
    const group = sync(watched, log);
    makeTask(UUID_A);
    makeTask(UUID_B);
    group.add(UUID_A);
    group.add(UUID_B);
    watched.failing.add(failing);
    await expect(group.flush()).rejects.toMatchObject({ code: "EIO" });
    await expect(group.flush()).rejects.toMatchObject({ code: "EIO" });
    expect(log.errors).toMatchObject([{ message: expect.stringContaining("cannot sync records") }]);
    watched.failing.clear();
    watched.synced.length = 0;
    // By the timer.
    await watched.nextGroup();
    await group.flush();
    expect(new Set(watched.synced.filter((name) => name !== "tasks").map(taskOf))).toEqual(new Set(again));
    expect(log.infos).toMatchObject([{ message: "records are synced again" }]);
  },
);

it("four tasks are synced at one time, and no more", async () => {
  const watched = new WatchedDisk();
  const group = sync(watched);
  let now = 0;
  let most = 0;
  const gathered = new Deferred<undefined>();
  watched.before = async () => {
    most = Math.max(most, ++now);
    if (most >= 4) gathered.resolve(undefined);
    // The first wait for three more, however slow they are to come.
    await gathered.promise;
    await new Promise((resolve) => setImmediate(resolve));
    now--;
  };
  for (let n = 0; n < 20; n++) {
    const uuid = `${UUID_A.slice(0, -2)}${10 + n}`;
    makeTask(uuid);
    group.add(uuid);
  }
  await group.flush();
  expect(most).toBe(4);
});

function taskOf(name: string): string {
  return name.includes("/") ? dirname(name) : basename(name);
}
