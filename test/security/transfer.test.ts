/** Tasks that lay traps where files are written for them, or collected of them, while and before that is done. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { HelperFault, type FileSpec, type Sandbox, type SandboxSpec } from "../../src/tasks/ports";
import { readLog, shell, stopProcess, TestLauncher } from "../host/helper/support";
import { descendants, isRoot, until } from "../support/daemon";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { itRequires } from "../support/requires";

/** How often a race is run. */
const TRIES = 400;

let fixtures: Fixtures;
let fixture: TestLauncher;
let copies = 0;

beforeAll(async () => {
  fixtures = await Fixtures.make("lease", "swap");
});

afterAll(() => fixtures[Symbol.asyncDispose]());

beforeEach(async () => {
  fixture = await TestLauncher.start();
  // What only the host's own are to read, where everybody may.
  chmodSync(fixture.directory, 0o755);
  mkdirSync(join(fixture.directory, "host"));
  writeFileSync(join(fixture.directory, "host/file"), "the host's");
});

afterEach(() => fixture[Symbol.asyncDispose]());

function specOf(changes: Partial<SandboxSpec> = {}): SandboxSpec {
  const spec = fixture.spec(changes);
  const source = fixtures.directory;
  const programs = { source, target: FIXTURES, readOnly: true, optional: false, link: false };
  return { ...spec, mounts: [...spec.mounts, programs] };
}

/** Starts a script that says something when it is about its work. */
async function begin(script: string, changes: Partial<SandboxSpec> = {}): Promise<Sandbox> {
  const spec = specOf(changes);
  const sandbox = await fixture.launcher.create(spec, new AbortController().signal);
  await sandbox.start(shell(script));
  await until(() => readLog(spec.recordDir) !== "");
  return sandbox;
}

async function end(sandbox: Sandbox): Promise<void> {
  sandbox.killInit();
  await sandbox.ended;
}

async function run(script: string, changes: Partial<SandboxSpec> = {}): Promise<void> {
  const sandbox = await fixture.launcher.create(specOf(changes), new AbortController().signal);
  await sandbox.start(shell(script));
  await sandbox.ended;
}

/** What is collected of a path, or why it is not. */
async function collect(path: string, taskName = "task1"): Promise<string> {
  const into = join(fixture.directory, `copy${copies++}`);
  try {
    await fixture.launcher.collect({ allocId: "alloc1", taskName, path, maxBytes: 1n << 20n, into });
    return readFileSync(into, "utf8");
  } catch (error) {
    if (error instanceof HelperFault) return error.fault.errno;
    throw error;
  } finally {
    rmSync(into, { force: true });
  }
}

/** Why a task with such a file is not made; undefined: it is, and has ended. */
async function writeFile(file: FileSpec): Promise<string | undefined> {
  try {
    const spec = fixture.spec({ taskName: "writer", files: [file] });
    await end(await fixture.launcher.create(spec, new AbortController().signal));
    return undefined;
  } catch (error) {
    if (error instanceof HelperFault) return error.fault.errno;
    throw error;
  }
}

function file(path: string): FileSpec {
  return { path, mode: 0o644, content: Buffer.from("the request's") };
}

function local(...parts: string[]): string {
  return join(fixture.directory, "alloc/alloc1/task1/local", ...parts);
}

function shared(...parts: string[]): string {
  return join(fixture.directory, "alloc/alloc1/alloc", ...parts);
}

describe("collecting from a task", () => {
  it("follows no link at any place of the path, wherever it leads", async () => {
    const host = join(fixture.directory, "host");
    await run(`mkdir -p a/b real; echo own >real/file
      ln -s ${host} a/b/host; ln -s ../../real a/b/inside; ln -s ../../../../../host a/b/up
      ln -s /proc/self/fd a/b/magic; ln -s /proc/1/root a/b/root; ln -s ${host}/file a/b/file`);
    for (const path of ["host/file", "inside/file", "up/file", "magic/0", "root/etc/passwd", "file"]) {
      expect([path, await collect(`/local/a/b/${path}`)]).toEqual([path, "ELOOP"]);
    }
  });

  it("finds its own or nothing while a directory and a link to the host's change places", async () => {
    const swapper = await begin(`mkdir a; echo own >a/file; ln -s ${fixture.directory}/host b
      exec ${FIXTURES}/swap a b`);
    const seen = new Set<string>();
    for (let tries = 0; tries < TRIES; tries++) seen.add(await collect("/local/a/file"));
    await end(swapper);
    expect(["own\n", "ELOOP"]).toEqual(expect.arrayContaining([...seen]));
    expect(seen).toContain("own\n");
  });

  it("opens nothing but files while a file and a fifo change places, and waits for nobody", async () => {
    const swapper = await begin(`echo own >a; mkfifo b; exec ${FIXTURES}/swap a b`);
    const seen = new Set<string>();
    for (let tries = 0; tries < TRIES; tries++) seen.add(await collect("/local/a"));
    await end(swapper);
    expect([...seen].sort()).toEqual(["EINVAL", "own\n"]);
  });

  it("disturbs nobody who waits at a fifo", async () => {
    const waiter = await begin("mkfifo fifo; echo begun; echo x >fifo; echo woken >woken");
    expect(await collect("/local/fifo")).toBe("EINVAL");
    await end(waiter);
    expect(existsSync(local("woken"))).toBe(false);
  });

  it("does not wait for a lease that a task holds", async () => {
    const holder = await begin(`echo own >file; exec ${FIXTURES}/lease file`);
    expect(await collect("/local/file")).toBe("EAGAIN");
    await end(holder);
    expect(await collect("/local/file")).toBe("own\n");
  });

  it("finds nothing of another task's /local, whatever the path", async () => {
    await run("echo secret >secret", { taskName: "other" });
    await run("true");
    for (const path of ["/local/../../other/local/secret", "/alloc/../other/local/secret"]) {
      expect(await collect(path)).toBe("EXDEV");
    }
  });

  itRequires("root", "gives a client what its task may read, and nothing more", async () => {
    await run("true");
    const others = shared("data/others");
    writeFileSync(others, "another user's", { mode: 0o600 });
    chownSync(others, 12345, 12345);
    linkSync(others, local("hard"));
    mkdirSync(shared("data/closed"), { mode: 0o700 });
    writeFileSync(shared("data/closed/file"), "root's");
    writeFileSync(local("roots"), "root's", { mode: 0o640 });
    for (const path of ["/alloc/data/others", "/local/hard", "/alloc/data/closed/file", "/local/roots"]) {
      expect([path, await collect(path)]).toEqual([path, "EACCES"]);
    }
  });

  itRequires("root", "reads nothing of a /local that no task was given", async () => {
    mkdirSync(local(), { recursive: true });
    writeFileSync(local("file"), "root's");
    expect(await collect("/local/file")).toBe("EACCES");
  });

  itRequires("root", "opens no device, and stays on the file system of the task's directories", async () => {
    await run("true");
    execFileSync("mknod", [local("null"), "c", "1", "3"]);
    chmodSync(local("null"), 0o666);
    expect(await collect("/local/null")).toBe("EINVAL");
    mkdirSync(shared("data/mount"));
    execFileSync("mount", ["--bind", join(fixture.directory, "host"), shared("data/mount")]);
    try {
      expect(await collect("/alloc/data/mount/file")).toBe("EXDEV");
    } finally {
      execFileSync("umount", [shared("data/mount")]);
    }
  });

  itRequires("root", "is the work of a process without capabilities", async () => {
    await run("true");
    writeFileSync(local("large"), Buffer.alloc(256 << 20), { mode: 0o644 });
    const into = join(fixture.directory, "large");
    const wanted = {
      allocId: "alloc1",
      taskName: "task1",
      path: "/local/large",
      maxBytes: 1n << 28n,
      into,
    };
    const collected = fixture.launcher.collect(wanted);
    await until(() => existsSync(into));
    const [worker = 0] = descendants(fixture.pid);
    await stopProcess(worker);
    const status = readFileSync(`/proc/${worker}/status`, "utf8");
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^CapPrm:\t0+$/m);
    process.kill(worker, "SIGCONT");
    await collected;
  });
});

describe("writing a request's files", () => {
  it("never goes through a link while a directory and a link change places", async () => {
    const swapper = await begin(
      `cd /alloc/data; mkdir -m 777 a; ln -s /alloc/logs b; exec ${FIXTURES}/swap a b`,
    );
    const seen = new Set<string | undefined>();
    for (let tries = 0; tries < TRIES / 4; tries++) seen.add(await writeFile(file("/alloc/data/a/file")));
    await end(swapper);
    expect([undefined, "ELOOP", "ENOTDIR"]).toEqual(expect.arrayContaining([...seen]));
    expect(readdirSync(shared("logs"))).toEqual([]);
  });

  it("replaces a link that is put in a file's place, and changes nothing of what that leads to", async () => {
    const swapper = await begin(`cd /alloc/data; echo kept >/alloc/logs/kept; mkdir -m 777 d
      while :; do ln -sf /alloc/logs/kept d/file; ln -sf /alloc/logs/kept d/.stockade-0.new; echo; done`);
    for (let tries = 0; tries < TRIES / 8; tries++) {
      expect([undefined, "EEXIST", "ENOENT"]).toContain(await writeFile(file("/alloc/data/d/file")));
    }
    await end(swapper);
    expect(readFileSync(shared("logs/kept"), "utf8")).toBe("kept\n");
  });

  itRequires("root", "makes nothing in a task's name where it could not itself", async () => {
    await run("true", { taskName: "writer" });
    // Another task's directory, which everybody may read.
    mkdirSync(shared("data/others"), { mode: 0o755 });
    chownSync(shared("data/others"), 12345, 12345);
    expect(await writeFile(file("/alloc/data/others/file"))).toBe("EACCES");
    expect(await writeFile(file("/alloc/data/others/deep/file"))).toBe("EACCES");
    expect(readdirSync(shared("data/others"))).toEqual([]);
  });

  it("gives no file a bit that it has not asked for, in whatever directory", async () => {
    await run("cd /alloc/data; mkdir -m 2777 d; umask 0");
    expect(await writeFile(file("/alloc/data/d/file"))).toBeUndefined();
    expect(lstatSync(shared("data/d/file")).mode).toBe(0o100644);
    expect(isRoot() ? lstatSync(shared("data/d/file")).uid : undefined).not.toBe(0);
  });
});
