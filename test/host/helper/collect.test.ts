/** Files that a task has left, copied out of its reach by a worker of the real launcher. */
import {
  existsSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import type { CollectedFile } from "../../../src/tasks/ports";
import { descendants, descriptors, until } from "../../support/daemon";
import { shell, stopProcess, TestLauncher } from "./support";

const MIB = 1 << 20;

let fixture: TestLauncher;
let copies = 0;

beforeEach(async () => {
  fixture = await TestLauncher.start();
});

afterEach(() => fixture[Symbol.asyncDispose]());

/** A task that has run such a script, and ended. */
async function run(script: string, taskName = "task1"): Promise<void> {
  const sandbox = await fixture.launcher.create(fixture.spec({ taskName }), new AbortController().signal);
  await sandbox.start(shell(script));
  await sandbox.ended;
}

function freshPath(): string {
  return join(fixture.directory, `copy${copies++}`);
}

async function collect(path: string, maxBytes = MIB): Promise<{ file: CollectedFile; content: Buffer }> {
  const into = freshPath();
  const file = await fixture.launcher.collect({
    allocId: "alloc1",
    taskName: "task1",
    path,
    maxBytes: BigInt(maxBytes),
    into,
  });
  expect(statSync(into)).toMatchObject({ mode: 0o100600, uid: process.geteuid?.() });
  return { file, content: readFileSync(into) };
}

async function refused(path: string): Promise<unknown> {
  const before = readdirSync(fixture.directory);
  const error: unknown = await collect(path).then(
    () => undefined,
    (failure: unknown) => failure,
  );
  expect(readdirSync(fixture.directory)).toEqual(before);
  return error;
}

function local(name: string): string {
  return join(fixture.directory, "alloc/alloc1/task1/local", name);
}

describe("collecting", () => {
  it.each(["/local/out", "/local/a/b/c/out", "/alloc/data/out", "/alloc/logs/x/out", "/local/a\nb"])(
    "copies %j with size and mode",
    async (path) => {
      await run(`mkdir -p "$(dirname '${path}')"; echo result >'${path}'; chmod 750 '${path}'`);
      expect(await collect(path)).toEqual({
        file: { sizeBytes: 7n, truncated: false, mode: 0o750 },
        content: Buffer.from("result\n"),
      });
    },
  );

  it("copies an empty file, and one of which a hard link is", async () => {
    await run(": >empty; echo x >one; ln one two");
    expect((await collect("/local/empty")).file).toMatchObject({ sizeBytes: 0n, truncated: false });
    expect((await collect("/local/two")).content.toString()).toBe("x\n");
  });

  it("copies every byte of megabytes", async () => {
    const content = Buffer.alloc(9 * MIB + 1, "\0abc\u00ff");
    await run("true");
    writeFileSync(local("large"), content, { mode: 0o644 });
    const collected = await collect("/local/large", 20 * MIB);
    expect(collected.content.equals(content)).toBe(true);
    expect(collected.file).toMatchObject({ sizeBytes: BigInt(content.length), truncated: false });
  });

  it.each([
    [4, true],
    [5, true],
    [6, false],
    [7, false],
  ])("copies as far as %d bytes of a file of 6, and says whether there is more", async (cap, truncated) => {
    await run("printf abcdef >file");
    expect(await collect("/local/file", cap)).toEqual({
      file: { sizeBytes: 6n, truncated, mode: 0o644 },
      content: Buffer.from("abcdef".slice(0, cap)),
    });
  });

  it("copies of a sparse file of a terabyte as far as it may, in no more room than that", async () => {
    await run("true");
    writeFileSync(local("sparse"), "begin", { mode: 0o644 });
    truncateSync(local("sparse"), 2 ** 40);
    const { file, content } = await collect("/local/sparse", 5 * MIB);
    expect(file).toEqual({ sizeBytes: 2n ** 40n, truncated: true, mode: 0o644 });
    expect(content).toHaveLength(5 * MIB);
    expect(content.subarray(0, 8).toString()).toBe("begin\0\0\0");
  });

  it.each([
    ["what is not there", "true", "/local/none", "ENOENT"],
    ["what is below nothing", "true", "/local/none/file", "ENOENT"],
    ["a directory", "mkdir dir", "/local/dir", "EISDIR"],
    ["what is below a file", "echo x >file", "/local/file/below", "ENOTDIR"],
    ["a link", "echo x >file; ln -s file link", "/local/link", "ELOOP"],
    ["a link that leads nowhere", "ln -s none link", "/local/link", "ELOOP"],
    ["what is below a link", "mkdir dir; echo x >dir/file; ln -s dir link", "/local/link/file", "ELOOP"],
    ["a fifo", "mkfifo fifo", "/local/fifo", "EINVAL"],
    ["what leads up", "true", "/local/../../../exit", "EXDEV"],
    ["a file that is closed to its user", "echo x >file; chmod 0 file", "/local/file", "EACCES"],
    ["a directory itself", "true", "/local/", "ENOENT"],
    ["what is neither in /local nor in /alloc", "true", "/etc/passwd", "EINVAL"],
    ["what only begins like one of them", "true", "/locals/file", "EINVAL"],
  ])("refuses %s", async (_, script, path, errno) => {
    await run(script);
    expect(await refused(path)).toMatchObject({ fault: { step: "OPEN_COLLECTED", errno } });
  });

  it("says of what cannot be copied that it is not about the file", async () => {
    await run("echo x >file");
    const into = join(fixture.directory, "nowhere/copy");
    const collected = fixture.launcher.collect({
      allocId: "alloc1",
      taskName: "task1",
      path: "/local/file",
      maxBytes: 1n,
      into,
    });
    await expect(collected).rejects.toMatchObject({ fault: { step: "COPY_COLLECTED", errno: "ENOENT" } });
  });

  it("refuses a task that there is none of", async () => {
    expect(await refused("/local/file")).toMatchObject({
      fault: { step: "OPEN_COLLECTED", errno: "ENOENT" },
    });
  });

  it("replaces what is where it copies to, and follows no link there", async () => {
    await run("echo x >file");
    const into = freshPath();
    writeFileSync(join(fixture.directory, "kept"), "kept");
    symlinkSync("kept", into);
    const wanted = { allocId: "alloc1", taskName: "task1", path: "/local/file", maxBytes: 9n, into };
    await fixture.launcher.collect(wanted);
    expect(readFileSync(into, "utf8")).toBe("x\n");
    expect(readFileSync(join(fixture.directory, "kept"), "utf8")).toBe("kept");
  });

  it("ends with a bounded part of a file that grows all the time", async () => {
    const sandbox = await fixture.launcher.create(fixture.spec(), new AbortController().signal);
    await sandbox.start(shell("echo begun >grows; while :; do head -c 1000000 /dev/zero; done >>grows"));
    await until(() => existsSync(local("grows")) && statSync(local("grows")).size > MIB);
    try {
      const { file, content } = await collect("/local/grows", MIB);
      expect(content).toHaveLength(MIB);
      expect(file.truncated).toBe(true);
    } finally {
      sandbox.killInit();
      await sandbox.ended;
    }
  });

  it("gives more than there are workers for all that they ask for", async () => {
    await run("for i in $(seq 40); do echo $i >$i; done");
    const before = held();
    const all = await Promise.all(Array.from({ length: 40 }, (_, index) => collect(`/local/${index + 1}`)));
    expect(all.map(({ content }) => Number(content))).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(descendants(fixture.pid)).toEqual([]);
    expect(held()).toEqual(before);
  });

  it("holds up nobody but who waits for it where a worker hangs, and is told when it is killed", async () => {
    await run("true");
    writeFileSync(local("large"), Buffer.alloc(256 * MIB), { mode: 0o644 });
    const slow = collect("/local/large", 256 * MIB);
    const failed = expect(slow).rejects.toMatchObject({ fault: { step: "COPY_COLLECTED", errno: "EIO" } });
    await until(() => descendants(fixture.pid).length > 0);
    const [worker = 0] = descendants(fixture.pid);
    await stopProcess(worker);
    await run("echo quick >quick", "other");
    await run("echo quick >quick");
    expect((await collect("/local/quick")).content.toString()).toBe("quick\n");
    process.kill(worker, "SIGKILL");
    await failed;
  });

  it("is answered with the launcher's end where that goes, and its worker goes too", async () => {
    await run("true");
    writeFileSync(local("large"), Buffer.alloc(256 * MIB), { mode: 0o644 });
    const lost = expect(collect("/local/large", 256 * MIB)).rejects.toThrow(/has gone/);
    const into = join(fixture.directory, `copy${copies - 1}`);
    await until(() => existsSync(into));
    const [worker = 0] = descendants(fixture.pid);
    await stopProcess(worker);
    await fixture.kill();
    await lost;
    await until(() => !existsSync(`/proc/${worker}`));
  });
});

function held(): Record<string, number> {
  return { daemon: descriptors(process.pid), launcher: descriptors(fixture.pid) };
}
