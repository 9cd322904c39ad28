/** A request's files and stdin, as the launcher makes a task with them. */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import type { FileSpec, Sandbox, SandboxSpec } from "../../../src/tasks/ports";
import { until } from "../../support/daemon";
import { itRequires } from "../../support/requires";
import { readLog, shell, TestLauncher } from "./support";

const MIB = 1 << 20;

let fixture: TestLauncher;

beforeEach(async () => {
  fixture = await TestLauncher.start();
});

afterEach(() => fixture[Symbol.asyncDispose]());

function file(path: string, content: string | Buffer = "content", mode = 0o644): FileSpec {
  return { path, mode, content: Buffer.from(content) };
}

function create(changes: Partial<SandboxSpec>): Promise<Sandbox> {
  return fixture.launcher.create(fixture.spec(changes), new AbortController().signal);
}

/** What a task's script has written to its stdout. */
async function run(script: string, changes: Partial<SandboxSpec>): Promise<string> {
  const spec = fixture.spec(changes);
  const sandbox = await fixture.launcher.create(spec, new AbortController().signal);
  await sandbox.start(shell(script));
  await sandbox.ended;
  return readLog(spec.recordDir);
}

/** Makes no task, which must leave nothing of it. */
async function refused(changes: Partial<SandboxSpec>): Promise<unknown> {
  const before = tree(fixture.directory);
  const error: unknown = await create(changes).then(
    () => undefined,
    (failure: unknown) => failure,
  );
  expect(tree(fixture.directory)).toEqual(before);
  return error;
}

/** All that is in the alloc directory, with what it holds. */
function tree(directory: string): string[] {
  return below(join(directory, "alloc")).map((path) => {
    const status = lstatSync(path);
    const what = status.isFile() ? readFileSync(path, "utf8") : "";
    return `${path} ${status.mode.toString(8)} ${status.uid}:${status.gid} ${status.ino} ${what}`;
  });
}

/** Follows no link, which Node's own does. */
function below(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? [path, ...below(path)] : [path];
  });
}

function residentKb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
}

function local(...parts: string[]): string {
  return join(fixture.directory, "alloc/alloc1/task1/local", ...parts);
}

function data(...parts: string[]): string {
  return join(fixture.directory, "alloc/alloc1/alloc/data", ...parts);
}

/** So that the directories of the alloc are there. */
async function earlierRun(script: string): Promise<void> {
  await run(script, {});
}

describe("files", () => {
  it("are there, the task's own, with their modes, in directories that were made for them", async () => {
    const script = "cat a src/deep/b; ./run; cat /alloc/data/c /alloc/tmp/d/e /alloc/logs/f; cat empty";
    const said = await run(script, {
      files: [
        file("/local/a", "a\n", 0o600),
        file("/local/src/deep/b", "b\n", 0o666),
        file("/local/run", "#!/bin/sh\necho run\n", 0o755),
        file("/alloc/data/c", "c\n"),
        file("/alloc/tmp/d/e", "e\n"),
        file("/alloc/logs/f", "f\n"),
        file("/local/empty", ""),
      ],
    });
    expect(said).toBe("a\nb\nrun\nc\ne\nf\n");
    const { uid, gid } = fixture.spec();
    const owned = ["a", "src", "src/deep", "src/deep/b", "run", "empty"].map((path) => {
      const status = statSync(local(path));
      return [path, status.mode & 0o7777, status.uid === uid, status.gid === gid];
    });
    expect(owned).toEqual([
      ["a", 0o600, true, true],
      ["src", 0o755, true, true],
      ["src/deep", 0o755, true, true],
      ["src/deep/b", 0o666, true, true],
      ["run", 0o755, true, true],
      ["empty", 0o644, true, true],
    ]);
  });

  it("have every byte, and a name of any", async () => {
    const content = Buffer.alloc(3 * MIB, "\0\n\u00ff abc");
    await run("true", { files: [file("/local/a\nb \u{1F600}", content)] });
    expect(readFileSync(local("a\nb \u{1F600}")).equals(content)).toBe(true);
  });

  it("can be what the command starts in, and what it is", async () => {
    const sandbox = await create({
      workDir: "/local/src",
      files: [file("/local/src/program", "#!/bin/sh\npwd >out\n", 0o755)],
    });
    await sandbox.start({ argv: ["./program"], env: new Map() });
    await sandbox.ended;
    expect(readFileSync(local("src/out"), "utf8")).toBe("/local/src\n");
  });

  it("replace what an earlier run has left, a link among it, and what the link leads to stays", async () => {
    await earlierRun("echo old >file; echo kept >target; ln -s target link; mkfifo fifo; ln target hard");
    const files = ["file", "link", "fifo", "hard"].map((name) => file(`/local/${name}`, "new"));
    await run("true", { files });
    for (const name of ["file", "link", "fifo", "hard"]) {
      expect([name, lstatSync(local(name)).isFile()]).toEqual([name, true]);
      expect(readFileSync(local(name), "utf8")).toBe("new");
    }
    expect(readFileSync(local("target"), "utf8")).toBe("kept\n");
  });

  it("of as many as a request can have are all there", async () => {
    const files = Array.from({ length: 1024 }, (_, index) =>
      file(`/local/${index % 7}/${index}`, `${index}`),
    );
    expect(await run("cat */* | wc -c", { files })).toBe("2986\n");
  });

  it.each<[string, string, string, string]>([
    ["a directory is in the place of", "mkdir -p dir/sub; echo x >dir/sub/file", "/local/dir", "EISDIR"],
    ["a file is above", "echo x >above", "/local/above/file", "ENOTDIR"],
    ["a link to a directory is above", "mkdir dir; ln -s dir above", "/local/above/file", "ENOTDIR"],
    ["a link out of the task is above", "ln -s /alloc/data above", "/local/above/file", "ENOTDIR"],
    ["a magic link is above", "ln -s /proc/self/fd above", "/local/above/0", "ENOTDIR"],
    ["the user may not enter the directory of", "mkdir dir; chmod 400 dir", "/local/dir/file", "EACCES"],
    ["the user may not write the directory of", "mkdir dir; chmod 500 dir", "/local/dir/sub/file", "EACCES"],
    ["the path leads up from", "true", "/local/../../file", "EXDEV"],
    ["only root may write where one is to be", "true", "/alloc/file", "EINVAL"],
    ["what is no directory of the task's is asked for by", "true", "/tmp/file", "EINVAL"],
  ])("are not written, and nothing is changed, where %s one", async (_, before, path, errno) => {
    await earlierRun(`echo old >first; ${before}`);
    const files = [file("/local/first", "new"), file("/local/made/here/second"), file(path)];
    expect(await refused({ files })).toMatchObject({
      fault: { step: "WRITE_FILES", errno, index: 2 },
    });
    expect(readFileSync(local("first"), "utf8")).toBe("old\n");
    expect(await run("echo fine", { files: files.slice(0, 2) })).toBe("fine\n");
  });

  it("are not written where the command cannot be made ready", async () => {
    await earlierRun("echo old >first");
    const files = [file("/local/first", "new"), file("/local/made/here/second")];
    expect(await refused({ files, workDir: "/local/nowhere" })).toMatchObject({
      fault: { step: "ENTER_WORK_DIR", errno: "ENOENT" },
    });
    expect(readFileSync(local("first"), "utf8")).toBe("old\n");
  });

  it("take the place of what a Configure that was cut off has left half done", async () => {
    await earlierRun("echo half >.stockade-0.new; mkdir made");
    await run("true", { files: [file("/local/file", "whole")] });
    expect(readFileSync(local("file"), "utf8")).toBe("whole");
    expect(existsSync(local(".stockade-0.new"))).toBe(false);
  });

  itRequires("root", "are not written where only another user may, in a directory of all tasks", async () => {
    await earlierRun("true");
    mkdirSync(data("others"), { mode: 0o755 });
    writeFileSync(data("theirs"), "theirs");
    chmodSync(data("theirs"), 0o666);
    chownSync(data("theirs"), 12345, 12345);
    symlinkSync("theirs", data("link"));
    const first = file("/local/first");
    expect(await refused({ files: [first, file("/alloc/data/others/file")] })).toMatchObject({
      fault: { step: "WRITE_FILES", errno: "EACCES", index: 1 },
    });
    // The directory is sticky: a file is its owner's to replace.
    for (const name of ["theirs", "link"]) {
      expect(await refused({ files: [first, file(`/alloc/data/${name}`)] })).toMatchObject({
        fault: { step: "WRITE_FILES", errno: "EPERM", index: 1 },
      });
    }
    expect(readFileSync(data("theirs"), "utf8")).toBe("theirs");
  });

  it("cost init no memory once the command waits", async () => {
    const sandbox = await create({
      files: [file("/local/large", Buffer.alloc(3 * MIB, 1))],
      stdin: Buffer.alloc(MIB, 2),
    });
    const { initPid, commandPid } = sandbox.processes;
    for (const pid of [initPid, commandPid]) {
      await until(() => residentKb(pid) < 2048);
    }
    sandbox.killInit();
    await sandbox.ended;
    expect(residentKb(fixture.pid)).toBeLessThan(2048);
  });

  itRequires(["plain-user", "subids"], "are the daemon's user's where inits have another", async () => {
    await using mapped = await TestLauncher.start({ users: "launcher" });
    const spec = mapped.spec({ files: [file("/local/made/a", "a", 0o600)], stdin: Buffer.from("b") });
    const sandbox = await mapped.launcher.create(spec, new AbortController().signal);
    await sandbox.start(shell("cat made/a - /dev/stdin"));
    await sandbox.ended;
    expect(readLog(spec.recordDir)).toBe("abb");
    const into = join(mapped.directory, "copy");
    const wanted = { allocId: "alloc1", taskName: "task1", path: "/local/made/a", maxBytes: 9n, into };
    await mapped.launcher.collect(wanted);
    for (const path of [into, join(mapped.directory, "alloc/alloc1/task1/local/made/a")]) {
      expect(statSync(path)).toMatchObject({ uid: spec.uid, gid: spec.gid, size: 1 });
    }
  });
});

describe("stdin", () => {
  const stdin = Buffer.from("one\ntwo\n");

  it("is what the request gives, to its end, and can be read again by its name", async () => {
    const script = "cat; echo; cat /dev/stdin; cat /proc/self/fd/0 | wc -c";
    expect(await run(script, { stdin })).toBe("one\ntwo\n\none\ntwo\n8\n");
  });

  it("has every byte of megabytes", async () => {
    const large = Buffer.alloc(3 * MIB + 1, "\0abc\u00ff");
    await run("cat >copy", { stdin: large });
    expect(readFileSync(local("copy")).equals(large)).toBe(true);
  });

  it("can be sought in, as a file", async () => {
    expect(await run("dd bs=1 skip=4 status=none; readlink /proc/self/fd/0", { stdin })).toBe(
      "two\n/memfd:stdin (deleted)\n",
    );
  });

  it.each([
    ["written", "echo x >&0"],
    ["opened again and written", "echo x 1<>/dev/stdin >&1"],
    ["opened again and appended to", "echo x >>/dev/stdin"],
    ["emptied", "true >/dev/stdin"],
    ["made longer", "truncate -s 100 /dev/stdin"],
    ["punched", "fallocate -p -o 0 -l 4 /dev/stdin"],
  ])("cannot be %s", async (_, change) => {
    const script = `(${change}) 2>/dev/null && echo changed; cat /dev/stdin`;
    expect(await run(script, { stdin })).toBe("one\ntwo\n");
  });

  it.each<[string, Buffer | undefined]>([
    ["absent", undefined],
    ["empty", Buffer.alloc(0)],
  ])("is /dev/null where it is %s", async (_, none) => {
    expect(await run("readlink /proc/self/fd/0; wc -c", { stdin: none })).toBe("/dev/null\n0\n");
  });

  it("is not another task's", async () => {
    const first = await create({ taskName: "first", stdin: Buffer.from("secret") });
    expect(await run("wc -c", { taskName: "second" })).toBe("0\n");
    first.killInit();
    await first.ended;
  });

  it("is nobody's but the task's user's", async () => {
    const { uid } = fixture.spec();
    const said = await run("stat -L -c '%u %F' /dev/stdin", { stdin });
    expect(said).toBe(`${uid} regular file\n`);
  });
});
