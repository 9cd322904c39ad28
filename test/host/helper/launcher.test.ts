import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Socket } from "node:net";

import type { Launcher } from "../../../src/host/helper/launcher";
import { TO_LAUNCHER } from "../../../src/host/helper/protocol";
import type { Sandbox, SandboxSpec } from "../../../src/tasks/ports";
import { descendants, descriptors, until } from "../../support/daemon";
import { guardOf } from "../../support/inits";
import { collectGarbage } from "../../support/gc";
import { itRequires } from "../../support/requires";
import { CGROUPS, withTask } from "../cgroup/support";
import { HELPER, TestLauncher, embedding, longTree, startTicks } from "./support";

describe("the launcher", () => {
  let fixture: TestLauncher;
  let launcher: Launcher;
  let directory: string;

  beforeEach(async () => {
    fixture = await TestLauncher.start();
    ({ launcher, directory } = fixture);
  });

  afterEach(() => fixture[Symbol.asyncDispose]());

  const create = (changes?: Partial<SandboxSpec>): ReturnType<Launcher["create"]> =>
    launcher.create(fixture.spec(changes), new AbortController().signal);

  it("makes a sandbox, starts its command and tells its end", async () => {
    const spec = fixture.spec();
    const sandbox = await launcher.create(spec, new AbortController().signal);
    const { initPid, initStartTicks, commandPid, commandStartTicks } = sandbox.processes;
    expect(descendants(fixture.pid)).toEqual([initPid, commandPid, await guardOf(initPid)]);
    expect([initStartTicks, commandStartTicks]).toEqual([startTicks(initPid), startTicks(commandPid)]);
    await sandbox.start({
      argv: ["sh", "-c", "echo hello; echo problem > /dev/stderr; exit 7"],
      env: new Map([["PATH", "/usr/bin"]]),
    });
    const exit = await sandbox.exited;
    await sandbox.ended;
    expect(exit).toMatchObject({ started: true, ended: true, waitStatus: 7 << 8 });
    expect(await readFile(join(spec.recordDir, "log/stdout"), "utf8")).toBe("hello\n");
    expect(await readFile(join(spec.recordDir, "log/stderr"), "utf8")).toBe("problem\n");
  });

  it("tells which step failed", async () => {
    const sandbox = await create();
    const started = sandbox.start({ argv: ["nothing"], env: new Map([["PATH", "/usr/bin"]]) });
    await expect(started).rejects.toMatchObject({
      fault: { step: "FIND_COMMAND", errno: "ENOENT" },
    });
    expect(await sandbox.exited).toMatchObject({ started: false });
  });

  it("embeds nothing of a tree that its own directory is in below that", async () => {
    const alloc = join(directory, "alloc");
    const made = create({ mounts: [embedding(alloc)] });
    await expect(made).rejects.toMatchObject({ fault: { step: "EMBED_TREES", errno: "ELOOP" } });
    const inTree = join(alloc, "alloc1/task1/tree/alloc1");
    expect(existsSync(inTree)).toBe(true);
    expect(existsSync(join(inTree, "task1"))).toBe(false);
  });

  it("is asked for nothing that is larger than a message may be, and serves on", async () => {
    const mounts = Array.from({ length: 3000 }, (_, index) => ({
      source: `/${"s".repeat(4000)}`,
      target: `/${index}/${"t".repeat(4000)}`,
      readOnly: true,
      optional: true,
      link: false,
    }));
    await expect(create({ mounts })).rejects.toMatchObject({
      fault: { step: "READ_REQUEST", errno: "E2BIG" },
    });
    expect(descendants(fixture.pid)).toEqual([]);
    const sandbox = await create();
    const started = sandbox.start({ argv: ["sh", "€".repeat(6_000_000)], env: new Map() });
    await expect(started).rejects.toMatchObject({ fault: { step: "EXEC", errno: "E2BIG" } });
    sandbox.killInit();
    await sandbox.ended;
    const next = await create();
    await next.start({ argv: ["true"], env: new Map([["PATH", "/usr/bin"]]) });
    expect(await next.exited).toMatchObject({ started: true, waitStatus: 0 });
    await next.ended;
  });

  /** When a making is given up: once this holds. */
  const moments: [string, () => boolean][] = [
    ["at once", () => true],
    ["when its init is there", () => descendants(fixture.pid).length > 0],
    ["in the middle of its steps", () => existsSync(join(directory, "alloc/alloc1/task1/tree"))],
  ];

  it.each(moments)("leaves nothing of a sandbox whose making is given up %s", async (_, moment) => {
    const tree = longTree(directory);
    // What both programs set up once is there after a first one.
    await makeAndGiveUp(tree, () => true);
    await launcher.remove("alloc", "alloc1", "task1");
    const before = held();
    await makeAndGiveUp(tree, moment);
    expect(descendants(fixture.pid)).toEqual([]);
    expect(held()).toEqual(before);
    expect(mountsBelow(directory)).toEqual([]);
    await launcher.remove("alloc", "alloc1", "task1");
    expect(readdirSync(join(directory, "alloc"))).toEqual([]);
  });

  async function makeAndGiveUp(tree: string, moment: () => boolean): Promise<void> {
    const given = new AbortController();
    const made = launcher.create(fixture.spec({ mounts: [embedding(tree)] }), given.signal);
    const rejected = expect(made).rejects.toThrow("given up");
    await until(moment);
    given.abort(new Error("given up"));
    await rejected;
  }

  function held(): Record<string, number> {
    return { daemon: descriptors(process.pid), launcher: descriptors(fixture.pid) };
  }

  it("gives init nothing of its own or of another task's, from init's first steps on", async () => {
    await create();
    const others = descendants(fixture.pid);
    const given = new AbortController();
    const tree = longTree(directory);
    const spec = fixture.spec({ taskName: "long", mounts: [embedding(tree)] });
    const made = launcher.create(spec, given.signal);
    const rejected = expect(made).rejects.toThrow("given up");
    await until(() => existsSync(join(directory, "alloc/alloc1/long/tree")));
    const [init, command] = descendants(fixture.pid).filter((pid) => !others.includes(pid));
    const own = links(init ?? 0);
    const pids = pidsHeld(init ?? 0);
    given.abort(new Error("given up"));
    await rejected;
    expect(pids).toEqual([command]);
    expect(own.filter((link) => link.includes("eventpoll"))).toEqual([]);
    const theirs = links(fixture.pid).filter((link) => /^(socket|pipe):/.test(link));
    expect(theirs).not.toHaveLength(0);
    expect(own.filter((link) => theirs.includes(link))).toEqual([]);
  });

  it("holds nothing of a request for as long as its task is known", async () => {
    const make = async (spec: SandboxSpec): Promise<[Sandbox, WeakRef<readonly number[]>]> => [
      await launcher.create(spec, new AbortController().signal),
      new WeakRef(spec.groups),
    ];
    const [sandbox, groups] = await make(fixture.spec({ groups: [] }));
    await until(() => {
      collectGarbage();
      return groups.deref() === undefined;
    });
    sandbox.killInit();
    await sandbox.ended;
  });

  itRequires("root", "can gain no capability by executing a file, nor can what it forks", async () => {
    const status = await readFile(`/proc/${fixture.pid}/status`, "utf8");
    const bounds = /^CapBnd:\t(\w+)$/m.exec(status)?.[1];
    expect(bounds).toBe("0000000000000000");
  });

  it("that has gone answers whatever is asked of it with that", async () => {
    await launcher.stop();
    await launcher.gone;
    await expect(create()).rejects.toThrow(/has gone/);
    await expect(launcher.remove("task", "alloc1", "task1")).rejects.toThrow(/has gone/);
  });
});

/** The mounts of this mount namespace that have a path below the directory in them. */
function mountsBelow(directory: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(directory));
}

/** Of each descriptor of a process what `read` makes of its entry; of one that is closed meanwhile nothing. */
function ofEach<Read>(directory: string, read: (entry: string) => Read): Read[] {
  return readdirSync(directory).flatMap((fd) => {
    try {
      return [read(join(directory, fd))];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  });
}

/** What the descriptors of a process are. */
function links(pid: number): string[] {
  return ofEach(`/proc/${pid}/fd`, (entry) => readlinkSync(entry));
}

/** The processes that a process holds pidfds of. */
function pidsHeld(pid: number): number[] {
  return ofEach(`/proc/${pid}/fdinfo`, (entry) => readFileSync(entry, "utf8"))
    .map((info) => Number(/^Pid:\t(-?\d+)$/m.exec(info)?.[1]))
    .filter((held) => held > 0);
}

describe("what is set is verified where setting it says nothing of its failure", () => {
  /** To setresuid(2) it means: leave it as it is. */
  const UNCHANGED = 0xffff_ffff;

  itRequires("root", "a command that has not become its user does not come to be", async () => {
    await using fixture = await TestLauncher.start();
    const made = fixture.launcher.create(fixture.spec({ uid: UNCHANGED }), new AbortController().signal);
    await expect(made).rejects.toMatchObject({ fault: { step: "VERIFY_CREDENTIALS", errno: "EPERM" } });
    expect(descendants(fixture.pid)).toEqual([]);
  });

  itRequires("root", "an init that has not become its user ends, and the command with it", async () => {
    await using fixture = await TestLauncher.start({ initUid: UNCHANGED });
    const made = fixture.launcher.create(fixture.spec(), new AbortController().signal);
    await expect(made).rejects.toMatchObject({ fault: { step: "VERIFY_INIT", errno: "EPERM" } });
    expect(descendants(fixture.pid)).toEqual([]);
  });

  itRequires(CGROUPS, "a command that is not in the task's cgroup does not come to be", async () => {
    await using fixture = await TestLauncher.start({ cgroupPrefix: "/elsewhere" });
    await withTask(async (cgroup) => {
      const made = fixture.launcher.create(fixture.spec({ cgroup }), new AbortController().signal);
      await expect(made).rejects.toMatchObject({ fault: { step: "VERIFY_CGROUPS", errno: "EXDEV" } });
      expect(descendants(fixture.pid)).toEqual([]);
    });
  });
});

describe("a launcher that reads what is no message", () => {
  const message = (size: number, type: number, body: Buffer): Buffer => {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(size, 0);
    header.writeUInt32LE(type, 4);
    header.writeBigUInt64LE(1n, 8);
    return Buffer.concat([header, body]);
  };

  it.each([
    ["a CREATE whose fields are not whole", message(8, TO_LAUNCHER.CREATE, Buffer.alloc(8))],
    ["a START of a task that there is not", message(8, TO_LAUNCHER.START, Buffer.alloc(8, 0xff))],
    ["an ATTACH that is cut short", message(20, TO_LAUNCHER.ATTACH, Buffer.alloc(20, 1))],
    ["an ATTACH of no process", message(24, TO_LAUNCHER.ATTACH, Buffer.alloc(24))],
    ["a message of no type", message(0, 99, Buffer.alloc(0))],
    ["one that says it is too large", message(0x7fff_ffff, TO_LAUNCHER.CREATE, Buffer.alloc(0))],
  ])("makes nothing of it and ends with 2: %s", async (_, bytes) => {
    const child = spawn(HELPER, ["launcher"], { stdio: ["ignore", "ignore", "inherit", "pipe"], env: {} });
    const ended = once(child, "exit");
    const socket = child.stdio[3] as Socket;
    socket.on("error", () => undefined);
    socket.resume();
    // Having read all there is, it would end with 0.
    socket.end(bytes);
    expect(await ended).toEqual([2, null]);
  });
});
