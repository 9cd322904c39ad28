import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, mkdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { Launcher } from "../../../src/host/helper/launcher";
import type { SandboxSpec } from "../../../src/tasks/ports";
import { descendants, descriptors, until } from "../../support/daemon";

const HELPER = resolve(__dirname, "../../../dist/bin/stockade-helper");
const root = process.geteuid?.() === 0;
const uid = root ? 65534 : (process.geteuid?.() ?? 0);
const gid = root ? 65534 : (process.getegid?.() ?? 0);

describe("the launcher", () => {
  let directory: string;
  let launcher: Launcher;
  let launcherPid: number;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "stockade-launcher-"));
    await mkdir(join(directory, "record"));
    await mkdir(join(directory, "alloc"));
    launcher = await Launcher.start(
      HELPER,
      {
        allocRoot: join(directory, "alloc"),
        initUid: 65533,
        users: root ? "host" : "own",
        cgroupPrefix: "",
        tmpBytes: 1n << 20n,
        shmBytes: 1n << 20n,
        logBytes: 1n << 20n,
        linkBytes: 1n << 30n,
      },
      (pid) => {
        launcherPid = pid;
        return Promise.resolve();
      },
    );
  });

  afterEach(async () => {
    await launcher.stop();
    await rm(directory, { recursive: true, force: true });
  });

  function spec(): SandboxSpec {
    const mounts = ["/usr/bin", "/usr/lib", "/lib64", "/bin", "/lib"].map((path) => ({
      source: realpathSync(path),
      target: path,
      readOnly: true,
      optional: true,
      link: false,
    }));
    return {
      uid,
      gid,
      groups: [],
      allocId: "alloc1",
      taskName: "task1",
      recordDir: join(directory, "record"),
      workDir: "/local",
      ownNetwork: true,
      mounts,
      cgroup: undefined,
    };
  }

  it("makes a sandbox, starts its command and tells its end", async () => {
    const sandbox = await launcher.create(spec(), new AbortController().signal);
    expect(sandbox.initPid).toBeGreaterThan(0);
    expect(sandbox.commandPid).toBeGreaterThan(sandbox.initPid);
    await sandbox.start({
      argv: ["sh", "-c", "echo hello; echo problem > /dev/stderr; exit 7"],
      env: new Map([["PATH", "/usr/bin"]]),
    });
    const exit = await sandbox.ended;
    expect(exit).toMatchObject({ started: true, ended: true, waitStatus: 7 << 8 });
    expect(await readFile(join(directory, "record/log/stdout"), "utf8")).toBe("hello\n");
    expect(await readFile(join(directory, "record/log/stderr"), "utf8")).toBe("problem\n");
  });

  it("tells which step failed", async () => {
    const sandbox = await launcher.create(spec(), new AbortController().signal);
    const started = sandbox.start({ argv: ["nothing"], env: new Map([["PATH", "/usr/bin"]]) });
    await expect(started).rejects.toMatchObject({
      fault: { step: "FIND_COMMAND", errno: "ENOENT" },
    });
    expect(await sandbox.ended).toMatchObject({ started: false });
  });

  /** When a making is given up: once this holds. */
  const moments: [string, () => boolean][] = [
    ["at once", () => true],
    ["when its init is there", () => descendants(launcherPid).length > 0],
    ["in the middle of its steps", () => existsSync(join(directory, "alloc/alloc1/task1/tree"))],
  ];

  it.each(moments)("leaves nothing of a sandbox whose making is given up %s", async (_, moment) => {
    const tree = longTree();
    // What both programs set up once is there after a first one.
    await makeAndGiveUp(tree, () => true);
    await launcher.remove("alloc", "alloc1", "task1");
    const before = held();
    await makeAndGiveUp(tree, moment);
    expect(descendants(launcherPid)).toEqual([]);
    expect(held()).toEqual(before);
    expect(mountsBelow(directory)).toEqual([]);
    await launcher.remove("alloc", "alloc1", "task1");
    expect(readdirSync(join(directory, "alloc"))).toEqual([]);
  });

  /** A tree that takes so long to embed that a making with it is still under way. */
  function longTree(): string {
    const tree = join(directory, "tree");
    for (let i = 0; i < 200; i++) mkdirSync(join(tree, `${i}`), { recursive: true });
    writeFileSync(join(tree, "file"), "");
    for (let i = 0; i < 20_000; i++) linkSync(join(tree, "file"), join(tree, `${i % 200}/${i}`));
    return tree;
  }

  async function makeAndGiveUp(tree: string, moment: () => boolean): Promise<void> {
    const given = new AbortController();
    const embedded = { source: tree, target: "/tree", readOnly: true, optional: false, link: true };
    const made = launcher.create({ ...spec(), mounts: [...spec().mounts, embedded] }, given.signal);
    const rejected = expect(made).rejects.toThrow("given up");
    await until(moment);
    given.abort(new Error("given up"));
    await rejected;
  }

  function held(): Record<string, number> {
    return { daemon: descriptors(process.pid), launcher: descriptors(launcherPid) };
  }

  it("that has gone answers whatever is asked of it with that", async () => {
    await launcher.stop();
    await launcher.gone;
    await expect(launcher.create(spec(), new AbortController().signal)).rejects.toThrow(/has gone/);
    await expect(launcher.remove("task", "alloc1", "task1")).rejects.toThrow(/has gone/);
  });
});

/** The mounts of this mount namespace that have a path below the directory in them. */
function mountsBelow(directory: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(directory));
}
