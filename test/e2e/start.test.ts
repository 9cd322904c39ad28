import { execFileSync } from "node:child_process";
import { join } from "node:path";

import type { ConfigureFields, StockadeError } from "../../src/client";
import { failure, TestDaemon, type Ran } from "../support/daemon";
import { exited, exitOf, neverStarted } from "../support/exits";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";

let daemon: TestDaemon;
let fixtures: Fixtures;

beforeAll(async () => {
  fixtures = await Fixtures.make();
  daemon = await TestDaemon.start(fixtures.config);
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

/** Runs a request to its end. */
async function runToEnd(request: ConfigureFields): Promise<Ran> {
  const id = await daemon.configure({ mounts: fixtures.mounts, ...request });
  await daemon.client.start(id);
  return { id, exit: await exitOf(daemon.client, id), ...(await daemon.output(id)) };
}

/** The answer to the Start of a command that cannot be executed; the task must be over after it. */
async function refusal(request: ConfigureFields): Promise<StockadeError> {
  const id = await daemon.configure({ mounts: fixtures.mounts, ...request });
  const error = await failure(daemon.client.start(id));
  expect(daemon.leftovers()).toEqual([]);
  expect(await exitOf(daemon.client, id)).toMatchObject(neverStarted());
  expect(await failure(daemon.client.start(id))).toMatchObject({ reason: "ENDED" });
  expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "COMMAND_NOT_EXECUTABLE" });
  if (request.command?.startsWith(fixtures.directory) !== true) {
    expect(error.message).not.toContain(fixtures.directory);
  }
  expect(error.message).not.toContain(daemon.daemon.directory);
  return error;
}

describe("a command that can be executed", () => {
  it("is found along the PATH inside the task when it is a bare name", async () => {
    const ran = await runToEnd({ command: "printf", args: ["%s", "found"] });
    expect(ran).toMatchObject({ exit: exited(0), stdout: "found" });
  });

  it("is found along the PATH of the request, in its order", async () => {
    await fixtures.write("uname", "#!/bin/sh\necho first\n", 0o755);
    const env = { PATH: `/nowhere:${FIXTURES}:/usr/bin:/bin` };
    expect(await runToEnd({ command: "uname", env })).toMatchObject({ stdout: "first\n" });
  });

  it("has an environment of 1 MB in many values", async () => {
    const env = Object.fromEntries(
      Array.from({ length: 8_000 }, (_, index) => [`BIG_${10_000 + index}`, "x".repeat(125)]),
    );
    const counting = "env | grep '^BIG_' | wc -lc | tr -s ' '";
    const ran = await runToEnd({ command: "/bin/sh", args: ["-c", counting], env });
    // Ten characters of the name, "=", the value and a line break.
    expect(ran).toMatchObject({
      exit: exited(0),
      stdout: expect.stringMatching(/^ ?8000 1088000\n$/) as string,
    });
  });

  it("is found past one in the PATH that may not be executed", async () => {
    await fixtures.write("true", "not for execution", 0o644);
    const env = { PATH: `${FIXTURES}:/usr/bin:/bin` };
    expect(await runToEnd({ command: "true", env })).toMatchObject({ exit: exited(0) });
  });

  it("is its own path when it has a slash, from the work directory", async () => {
    const script = await fixtures.write("from-here", "#!/bin/sh\necho $0\n", 0o755);
    const ran = await runToEnd({ command: "./from-here", workDir: FIXTURES });
    expect(ran).toMatchObject({ exit: exited(0), stdout: "./from-here\n" });
    expect(await runToEnd({ command: script })).toMatchObject({ stdout: `${script}\n` });
  });

  it("is a script whose #! line names the interpreter and one argument", async () => {
    const text = "#!/bin/sh -e\nfalse\necho unreachable\n";
    const command = await fixtures.write("fails-at-once", text, 0o755);
    expect(await runToEnd({ command })).toMatchObject({ exit: exited(1), stdout: "" });
  });

  it("has a pid of the host, which Start answers", async () => {
    const id = await daemon.configure({ command: "/bin/sleep", args: ["1000"] });
    const { pid } = await daemon.client.start(id);
    expect(process.kill(pid, 0)).toBe(true);
    await daemon.client.forceStop(id);
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });
});

describe("a command that cannot be executed", () => {
  it("is nowhere in the PATH: ENOENT with its name", async () => {
    const error = await refusal({ command: "no-such-program" });
    expect(error.metadata).toMatchObject({ stage: "find_command", errno: "ENOENT", path: "no-such-program" });
    expect(error.message).toContain("no-such-program");
  });

  it("is not at its path: ENOENT with the path", async () => {
    const command = "/usr/bin/no-such-program";
    const { metadata } = await refusal({ command });
    expect(metadata).toMatchObject({ errno: "ENOENT", path: command, stage: expect.any(String) as string });
  });

  it("has no mode to execute: EACCES", async () => {
    const command = await fixtures.write("no-mode", "#!/bin/sh\n", 0o644);
    const { metadata } = await refusal({ command });
    expect(metadata).toMatchObject({ stage: "exec", errno: "EACCES", path: command });
  });

  it("is, by its bare name, only where it may not be executed: EACCES", async () => {
    const path = await fixtures.write("no-mode-either", "#!/bin/sh\n", 0o644);
    const { metadata } = await refusal({ command: "no-mode-either", env: { PATH: `/nowhere:${FIXTURES}` } });
    expect(metadata).toMatchObject({ errno: "EACCES", stage: expect.any(String) as string });
    expect([path, "no-mode-either"]).toContain(metadata["path"]);
  });

  it("is no executable format: ENOEXEC, and no shell tries it", async () => {
    const command = await fixtures.write("no-format", "echo a shell has run me\n", 0o755);
    const { metadata } = await refusal({ command });
    expect(metadata).toMatchObject({ stage: "exec", errno: "ENOEXEC", path: command });
  });

  it("is a bare name that leads to no executable format: ENOEXEC with the looked-up path", async () => {
    const path = await fixtures.write("no-format-either", "echo a shell has run me\n", 0o755);
    const env = { PATH: `/nowhere:${FIXTURES}` };
    const { metadata } = await refusal({ command: "no-format-either", env });
    expect(metadata).toMatchObject({ stage: "exec", errno: "ENOEXEC", path });
  });

  it("is an empty file: ENOEXEC", async () => {
    const command = await fixtures.write("empty", "", 0o755);
    const { metadata } = await refusal({ command });
    expect(metadata).toMatchObject({ stage: "exec", errno: "ENOEXEC", path: command });
  });

  it("is a directory: EACCES, as execve has it", async () => {
    const { metadata } = await refusal({ command: "/usr/bin" });
    expect(metadata).toMatchObject({ stage: "exec", errno: "EACCES", path: "/usr/bin" });
  });

  it("goes through a file as if it were a directory: ENOTDIR", async () => {
    const { metadata } = await refusal({ command: "/bin/sh/x" });
    expect(metadata).toMatchObject({ errno: "ENOTDIR", path: "/bin/sh/x" });
  });

  it("has an interpreter that is not there: ENOENT, at the interpreter's stage", async () => {
    const command = await fixtures.write("no-interpreter", "#!/opt/no-such-interpreter\n", 0o755);
    const { metadata } = await refusal({ command });
    expect(metadata).toMatchObject({ stage: "find_interpreter", errno: "ENOENT", path: command });
  });

  it.each([
    ["names it with an argument", "#! /opt/no-such -e\n", "/opt/no-such"],
    ["names it and ends", "#!/opt/no-such", "/opt/no-such"],
    ["has lines that end as on Windows", "#!/bin/sh\r\necho\r\n", "/bin/sh\r"],
    [
      "names one that is a script without its own",
      `#!${FIXTURES}/no-interpreter\n`,
      "/opt/no-such-interpreter",
    ],
  ])("is a script without its interpreter, which is told: it %s", async (_, text, interpreter) => {
    await fixtures.write("no-interpreter", "#!/opt/no-such-interpreter\n", 0o755);
    const command = await fixtures.write("script", text, 0o755);
    const { metadata, message } = await refusal({ command });
    expect(metadata).toMatchObject({
      stage: "find_interpreter",
      errno: "ENOENT",
      path: command,
      interpreter,
    });
    const shown = interpreter.replace("\r", "\\u{d}");
    expect(message).toBe(`cannot find ${shown}, the interpreter of ${command}: ENOENT`);
  });

  it("is a program without its dynamic linker, found along PATH: both are told", async () => {
    const linker = "-Wl,--dynamic-linker=/opt/no-ld.so";
    execFileSync("gcc", ["-xc", "-", linker, "-o", join(fixtures.directory, "no-linker")], {
      input: "int main(void) { return 0; }",
    });
    const { metadata } = await refusal({ command: "no-linker", env: { PATH: `/usr/bin:${FIXTURES}` } });
    const path = `${FIXTURES}/no-linker`;
    expect(metadata).toMatchObject({ stage: "find_interpreter", path, interpreter: "/opt/no-ld.so" });
  });

  it("is a program that may not be read, without its interpreter: which is not told", async () => {
    const command = await fixtures.write("unreadable", "#!/opt/no-such\n", 0o111);
    const { metadata, message } = await refusal({ command });
    expect(metadata).toEqual({ stage: "find_interpreter", errno: "ENOENT", path: command });
    expect(message).toBe(`cannot find the interpreter of ${command}: ENOENT`);
  });

  it("is there on the host and not in the task", async () => {
    const { metadata } = await refusal({ command: `${fixtures.directory}/empty` });
    expect(metadata["errno"]).toBe("ENOENT");
  });

  it("has one argument of 200 kB, more than the kernel takes: E2BIG", async () => {
    const { metadata } = await refusal({ command: "/bin/true", args: ["x".repeat(200_000)] });
    expect(metadata).toMatchObject({ stage: "exec", errno: "E2BIG", path: "/bin/true" });
  });

  it.each([
    ["an argument that its variables make longer than that", { args: ["$A$A"] }],
    ["forty-seven of them", { args: Array<string>(47).fill("$A") }],
    ["more bytes in all, of fewer characters", { args: Array<string>(30).fill("$B") }],
    ["more words in all than fit", { args: Array<string>(32_768).fill("$C") }],
  ])("has %s: E2BIG, and no other task notices", async (_, { args }) => {
    const other = await daemon.started();
    const env = { A: "€".repeat(130_000), B: "€".repeat(40_000), C: "x".repeat(60) };
    const id = await daemon.configure({ command: "/bin/true", args, env });
    expect(await failure(daemon.client.start(id))).toMatchObject({
      reason: "COMMAND_NOT_EXECUTABLE",
      metadata: { stage: "exec", errno: "E2BIG", path: "/bin/true" },
    });
    expect(await exitOf(daemon.client, id)).toMatchObject(neverStarted());
    process.kill(other.pid, 0);
    await daemon.client.forceStop(other.id);
  });

  it("has a value of 1 MB in its environment, more than the kernel takes in one: E2BIG", async () => {
    const { metadata } = await refusal({ command: "/bin/true", env: { BIG: "x".repeat(1_000_000) } });
    expect(metadata).toMatchObject({ stage: "exec", errno: "E2BIG", path: "/bin/true" });
  });

  it("has an environment of 3 MB, more than the kernel takes: E2BIG", async () => {
    const env = Object.fromEntries(
      Array.from({ length: 30 }, (_, index) => [`BIG_${index}`, "x".repeat(100_000)]),
    );
    const { metadata } = await refusal({ command: "/bin/true", env });
    expect(metadata).toMatchObject({ stage: "exec", errno: "E2BIG", path: "/bin/true" });
  });

  it("answers waiters from before Start too", async () => {
    const id = await daemon.configure({ command: "/no/such/program" });
    const waiting = exitOf(daemon.client, id);
    await failure(daemon.client.start(id));
    expect(await waiting).toMatchObject(neverStarted());
  });

  it("leaves its name free for another try", async () => {
    const names = { allocId: "another-try", taskName: "task" };
    await refusal({ ...names, command: "/no/such/program" });
    expect(await runToEnd({ ...names, command: "/bin/true" })).toMatchObject({ exit: exited(0) });
  });
});

describe("Start at the wrong time", () => {
  it("is ALREADY_STARTED the second time, and the task goes on", async () => {
    const id = await daemon.configure({ command: "/bin/sleep", args: ["1000"] });
    const { pid } = await daemon.client.start(id);
    const error = await failure(daemon.client.start(id));
    expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "ALREADY_STARTED" });
    expect(process.kill(pid, 0)).toBe(true);
    await daemon.client.forceStop(id);
  });

  it("succeeds for one of ten at once, and is ALREADY_STARTED for the others", async () => {
    const id = await daemon.configure({ command: "/bin/sleep", args: ["1000"] });
    const starts = await Promise.allSettled(Array.from({ length: 10 }, () => daemon.client.start(id)));
    const refused = starts.filter((start) => start.status === "rejected");
    expect(refused).toHaveLength(9);
    for (const { reason } of refused) expect(reason).toMatchObject({ reason: "ALREADY_STARTED" });
    await daemon.client.forceStop(id);
  });

  it("is ENDED after the end", async () => {
    const { id } = await runToEnd({ command: "/bin/true" });
    const error = await failure(daemon.client.start(id));
    expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "ENDED" });
  });

  it("is ENDED after a ForceStop of the waiting task", async () => {
    const id = await daemon.configure({ command: "/bin/true" });
    await daemon.client.forceStop(id);
    expect(await failure(daemon.client.start(id))).toMatchObject({ reason: "ENDED" });
  });
});

describe("a Start whose caller has gone", () => {
  it("is carried through, once, whenever the caller goes", async () => {
    let carriedThrough = 0;
    // Later and later, by turns of the event loop, until the calls were cancelled while the daemon was at it.
    for (let turns = 1; turns < 300 && carriedThrough < 3; turns++) {
      const id = await daemon.configure({ command: "/bin/sh", args: ["-c", "echo ran; exit 5"] });
      const caller = new AbortController();
      const started = daemon.client.start(id, { signal: caller.signal }).then(
        () => true,
        () => false,
      );
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      caller.abort();
      const answered = await started;
      const again = await daemon.client.start(id).then(
        () => "the first had not arrived",
        (error: unknown) => (error as StockadeError).reason,
      );
      expect(["ALREADY_STARTED", "ENDED", "the first had not arrived"]).toContain(again);
      if (!answered && again !== "the first had not arrived") carriedThrough++;
      expect(await exitOf(daemon.client, id)).toMatchObject(exited(5));
      expect(await daemon.output(id)).toMatchObject({ stdout: "ran\n" });
    }
    expect(carriedThrough).toBe(3);
  });
});

describe("interpolation", () => {
  it("replaces $NAME and ${NAME} in args from the task's environment, once", async () => {
    const env = { GREETING: "hello world", NESTED: "$GREETING" };
    const words = ["$GREETING", "<${GREETING}>", "$NESTED", "$UNKNOWN", "${UNKNOWN}", "$$", "$", "${"];
    const { stdout } = await runToEnd({ command: "printf", args: ["[%s]", ...words], env });
    expect(stdout).toBe("[hello world][<hello world>][$GREETING][$UNKNOWN][${UNKNOWN}][$$][$][${]");
  });

  it("knows NOMAD_* and the ports by label", async () => {
    const words = ["$NOMAD_TASK_DIR", "${NOMAD_PORT_http-alt}", "$NOMAD_META_OWNER", "$NOMAD_IP"];
    const { stdout } = await runToEnd({
      command: "/usr/bin/printf",
      args: ["[%s]", ...words],
      ip: "10.0.0.7",
      ports: { "http-alt": 8080 },
      meta: { owner: "ops" },
    });
    expect(stdout).toBe("[/local][8080][ops][10.0.0.7]");
  });

  it("does not split an argument again", async () => {
    const { stdout } = await runToEnd({ command: "/usr/bin/printf", args: ["[%s]", "a b  'c'", ""] });
    expect(stdout).toBe("[a b  'c'][]");
  });

  it("never replaces in the command itself", async () => {
    const error = await refusal({ command: "$PROGRAM", env: { PROGRAM: "/bin/true" } });
    expect(error.metadata["path"]).toBe("$PROGRAM");
  });
});

describe("command_line", () => {
  it("is split by quotes and escapes, and run without a shell", async () => {
    const commandLine = `printf '[%s]' one 'two words' "three \\"quoted\\"" fo\\ ur '' > "|" ;`;
    const { stdout } = await runToEnd({ commandLine });
    expect(stdout).toBe(`[one][two words][three "quoted"][fo ur][][>][|][;]`);
  });

  it("is split before values are put in, so that one with spaces stays one word", async () => {
    const env = { SPACED: "a b 'c" };
    const { stdout } = await runToEnd({ commandLine: "printf [%s] $SPACED x${SPACED}y", env });
    expect(stdout).toBe("[a b 'c][xa b 'cy]");
  });

  it("has a first word that is looked up along PATH", async () => {
    expect(await refusal({ commandLine: "no-such-program --flag" })).toMatchObject({
      metadata: { errno: "ENOENT", path: "no-such-program" },
    });
  });
});

describe("the environment", () => {
  it("is what the contract lists, and nothing of the daemon's", async () => {
    const { stdout } = await runToEnd({ command: "/usr/bin/env" });
    const names = stdout
      .trim()
      .split("\n")
      .map((line) => line.split("=")[0]);
    expect(names.sort()).toEqual(["HOME", "LOGNAME", "NOMAD_ALLOC_DIR", "NOMAD_TASK_DIR", "PATH", "USER"]);
    expect(stdout).toContain("NOMAD_ALLOC_DIR=/alloc\n");
    expect(stdout).toContain("NOMAD_TASK_DIR=/local\n");
    expect(stdout).toContain("HOME=/local\n");
  });

  it("is the request's, but for where the directories are", async () => {
    const env = { HOME: "/tmp", NOMAD_ALLOC_DIR: "/x", NOMAD_TASK_DIR: "/y", LINES: "a\nb", EMPTY: "" };
    const { stdout } = await runToEnd({ command: "/usr/bin/env", args: ["-0"], env });
    const found = stdout.split("\0");
    expect(found).toEqual(
      expect.arrayContaining([
        "HOME=/tmp",
        "NOMAD_ALLOC_DIR=/alloc",
        "NOMAD_TASK_DIR=/local",
        "LINES=a\nb",
        "EMPTY=",
      ]),
    );
  });

  itRequires("cgroups", "has the limits of memory (MiB) and CPU (MHz) once they are set", async () => {
    const id = await daemon.configure({ command: "/usr/bin/env" });
    await daemon.client.limit({ id, resources: { memoryBytes: 300n << 20n, cpuShares: 700n } });
    await daemon.client.start(id);
    await exitOf(daemon.client, id);
    const { stdout } = await daemon.output(id);
    expect(stdout).toContain("NOMAD_MEMORY_LIMIT=300\n");
    expect(stdout).toContain("NOMAD_CPU_LIMIT=700\n");
  });
});
