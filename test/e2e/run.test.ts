/** Run: the whole life of a task in one call, and what becomes of it when its caller or the daemon goes. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { ExitReason, OutputStream } from "../../src/client";
import { SLEEPER, TestDaemon, until } from "../support/daemon";
import { expectNothingLeftSoon } from "../support/leftovers";
import { itRequires, SLOW } from "../support/requires";
import { RunStream } from "../support/run-stream";

const MIB = 2 ** 20;

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start({ end_tasks_on_stop: false });
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

afterEach(async () => {
  await daemon.startUnlessRunning();
  await expectNothingLeftSoon(daemon);
});

const script = (text: string): { command: string; args: string[] } => ({
  command: "/bin/sh",
  args: ["-c", text],
});

it("tells of the start, of all output, and at last of the exit", async () => {
  using run = new RunStream(daemon, script("echo out; echo err >&2; sleep 0.1; echo more; exit 3"));
  expect(await run.ended).toBeUndefined();
  expect(run.events[0]).toMatchObject({
    $case: "started",
    value: { id: expect.stringMatching(/^(CGROUP|PID):/), pid: expect.any(Number) },
  });
  expect([run.text("stdout"), run.text("stderr")]).toEqual(["out\nmore\n", "err\n"]);
  expect(run.exit).toMatchObject({
    status: { $case: "exitCode", value: 3 },
    reason: ExitReason.EXIT_REASON_EXITED,
  });
  const id = await run.started();
  // It is a task as any other.
  expect((await daemon.client.wait(id)).exit).toEqual(run.exit);
});

it("ends where nothing has been written", async () => {
  using run = new RunStream(daemon, { command: "/bin/true" });
  expect(await run.ended).toBeUndefined();
  expect(run.events.map(({ $case }) => $case)).toEqual(["started", "exit"]);
});

itRequires("cgroups", "sets limits before the command runs, and answers those in force", async () => {
  using run = new RunStream(daemon, SLEEPER, {
    resources: { ...NO_LIMITS, memoryBytes: BigInt(64 * MIB), pidsMax: 7n },
  });
  const id = await run.started();
  expect(run.events[0]).toMatchObject({
    value: { effective: { memoryBytes: BigInt(64 * MIB), pidsMax: 7n } },
  });
  await daemon.client.forceStop(id);
  expect(await run.ended).toBeUndefined();
  expect(run.exit?.reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
});

itRequires("cgroups", "is one task, with one answer, for all who send the same request at once", async () => {
  const name = daemon.freshName();
  const same = { allocId: name, taskName: name, requestId: name, ...SLEEPER };
  const rest = { resources: { ...NO_LIMITS, pidsMax: 7n } };
  const runs = Array.from({ length: 5 }, () => new RunStream(daemon, same, rest));
  const [id] = await Promise.all(runs.map((run) => run.started()));
  await daemon.client.forceStop(id ?? "");
  for (const run of runs) {
    expect(await run.ended).toBeUndefined();
    expect(run.events).toEqual(runs[0]?.events);
    run[Symbol.dispose]();
  }
});

it("sends all of much output, byte for byte", async () => {
  const bytes = 32 * MIB;
  using run = new RunStream(daemon, script(`head -c ${bytes} /dev/zero | tr '\\0' x; echo end >&2`));
  expect(await run.ended).toBeUndefined();
  const sum = createHash("sha256");
  for (const event of run.events) if (event.$case === "stdout") sum.update(event.value);
  expect(sum.digest("hex")).toBe(createHash("sha256").update(Buffer.alloc(bytes, "x")).digest("hex"));
  expect(run.text("stderr")).toBe("end\n");
});

it("a caller that goes ends the task", async () => {
  using run = new RunStream(daemon, SLEEPER);
  const id = await run.started();
  run.cancel();
  expect(await run.ended).toMatchObject({ code: "CANCELLED" });
  expect((await daemon.client.wait(id)).exit?.reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
});

it("a caller whose deadline passes ends the task", async () => {
  using run = new RunStream(daemon, SLEEPER, {}, { deadline: Date.now() + 2_000 * SLOW });
  const id = await run.started();
  expect(await run.ended).toMatchObject({ code: "DEADLINE_EXCEEDED" });
  expect((await daemon.client.wait(id)).exit?.reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
});

it("a caller that goes at any instant leaves nothing", async () => {
  for (let pauseMs = 0; pauseMs < 60; pauseMs += 4) {
    using run = new RunStream(daemon, SLEEPER);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    run.cancel();
    await run.ended;
  }
  await until(() => daemon.leftovers().length === 0);
});

it("with detach_on_disconnect it goes on when its caller has gone", async () => {
  using run = new RunStream(daemon, script("sleep 1; echo after; exit 4"), { detachOnDisconnect: true });
  const id = await run.started();
  run.cancel();
  await run.ended;
  expect((await daemon.client.wait(id)).exit?.status).toEqual({ $case: "exitCode", value: 4 });
  expect((await daemon.output(id)).stdout).toBe("after\n");
});

it("goes on when the daemon is killed, and its exit is had by the next one", async () => {
  using run = new RunStream(daemon, script("echo before; sleep 2; echo after; exit 5"));
  const id = await run.started();
  await daemon.restart("SIGKILL");
  expect(await run.ended).toMatchObject({ code: "UNAVAILABLE" });
  const { exit } = await daemon.client.wait(id);
  expect(exit?.status).toEqual({ $case: "exitCode", value: 5 });
  expect((await daemon.output(id)).stdout).toBe("before\nafter\n");
});

it("goes on when the daemon is stopped, which tells its caller to try again", async () => {
  using run = new RunStream(daemon, script("sleep 2; exit 6"));
  const id = await run.started();
  await daemon.restart("SIGTERM");
  expect(await run.ended).toMatchObject({ code: "UNAVAILABLE", reason: "STOPPING" });
  expect((await daemon.client.wait(id)).exit?.status).toEqual({ $case: "exitCode", value: 6 });
});

it("announces what output_max_bytes cuts off, before the exit", async () => {
  using run = new RunStream(daemon, script("printf 0123456789; sleep 0.2; printf abcdef; printf ghi >&2"), {
    outputMaxBytes: 12n,
  });
  expect(await run.ended).toBeUndefined();
  const told = run.text("stdout").length + run.text("stderr").length;
  expect(told).toBe(12);
  const gaps = run.events.flatMap((event) => (event.$case === "gap" ? [event.value] : []));
  const of = (stream: OutputStream, kept: number, all: number): object[] =>
    kept === all ? [] : [{ stream, offset: BigInt(kept), sizeBytes: BigInt(all - kept) }];
  expect(gaps).toEqual([
    ...of(OutputStream.OUTPUT_STREAM_STDOUT, run.text("stdout").length, 16),
    ...of(OutputStream.OUTPUT_STREAM_STDERR, run.text("stderr").length, 3),
  ]);
  expect(run.exit).toBeDefined();
});

it("sends no output at all where output_max_bytes is 0", async () => {
  using run = new RunStream(daemon, script("echo out"), { outputMaxBytes: 0n });
  expect(await run.ended).toBeUndefined();
  expect(run.events.map(({ $case }) => $case)).toEqual(["started", "gap", "exit"]);
});

describe("tells that it is alive", () => {
  const EACH_SECOND = { heartbeatInterval: { seconds: 1n, nanos: 0 } };
  const beats = (run: RunStream): number => run.events.filter(({ $case }) => $case === "heartbeat").length;

  it("where nothing is written", async () => {
    using run = new RunStream(daemon, { command: "/bin/sleep", args: ["2.5"] }, EACH_SECOND);
    expect(await run.ended).toBeUndefined();
    expect(beats(run)).toBeGreaterThanOrEqual(1);
  });

  it("where what is written is not sent any more", async () => {
    const chatty = script("for _ in $(seq 25); do echo line; sleep 0.1; done");
    using run = new RunStream(daemon, chatty, { ...EACH_SECOND, outputMaxBytes: 1n });
    expect(await run.ended).toBeUndefined();
    expect(run.text("stdout")).toBe("l");
    expect(beats(run)).toBeGreaterThanOrEqual(1);
  });

  it("before the command runs", async () => {
    const { launcher } = daemon;
    process.kill(launcher, "SIGSTOP");
    try {
      using run = new RunStream(daemon, { command: "/bin/true" }, EACH_SECOND);
      await until(() => beats(run) > 0);
      process.kill(launcher, "SIGCONT");
      expect(await run.ended).toBeUndefined();
      expect(run.events.map(({ $case }) => $case)).toEqual([
        ...Array.from({ length: beats(run) }, () => "heartbeat"),
        "started",
        "exit",
      ]);
    } finally {
      process.kill(launcher, "SIGCONT");
    }
  });
});

it("brings files and a standard input along, and sends back what was asked for", async () => {
  const files = [
    { path: "/local/in/a.txt", content: Buffer.from("from the request\n"), mode: 0 },
    { path: "/alloc/data/tool", content: Buffer.from("#!/bin/sh\ncat\n"), mode: 0o755 },
  ];
  const text =
    "cat /local/in/a.txt; /alloc/data/tool; head -c 300000 /dev/zero > /local/big; ln -s /etc/passwd /local/link";
  const collect = ["/local/in/a.txt", "/local/big", "/local/link", "/local/none", "/alloc/data"].map(
    (path) => ({
      path,
      maxBytes: 200_000n,
    }),
  );
  using run = new RunStream(daemon, script(text), { files, stdin: Buffer.from("stdin\n"), collect });
  expect(await run.ended).toBeUndefined();
  expect(run.text("stdout")).toBe("from the request\nstdin\n");
  const told: [path: string, error: string, size: bigint, sent: string][] = [];
  for (const event of run.events) {
    if (event.$case === "file") told.push([event.value.path, event.value.error, event.value.sizeBytes, ""]);
    const last = told.at(-1);
    if (event.$case === "fileData" && last !== undefined)
      last[3] += Buffer.from(event.value).toString("latin1");
  }
  expect(told).toEqual([
    ["/local/in/a.txt", "", 17n, "from the request\n"],
    ["/local/big", "", 300_000n, "\0".repeat(200_000)],
    ["/local/link", "ELOOP", 0n, ""],
    ["/local/none", "ENOENT", 0n, ""],
    ["/alloc/data", "EISDIR", 0n, ""],
  ]);
  expect(run.exit?.status).toEqual({ $case: "exitCode", value: 0 });
});

it("leaves the exit the last message, and no copy of a file, where its caller goes while files are sent", async () => {
  const collect = Array.from({ length: 20 }, () => ({ path: "/local/big", maxBytes: 2n ** 20n }));
  using run = new RunStream(daemon, script("head -c 1000000 /dev/zero > /local/big"), { collect });
  const id = await run.started();
  await until(() => run.events.some(({ $case }) => $case === "fileData"));
  run.cancel();
  await run.ended;
  const copies = join(daemon.recordDir(id), "collected");
  await until(() => !existsSync(copies) || readdirSync(copies).length === 0);
});

it("says that there is no such task any more where its record is deleted while files are sent", async () => {
  const collect = Array.from({ length: 200 }, () => ({ path: "/local/big", maxBytes: 2n ** 20n }));
  using run = new RunStream(daemon, script("head -c 1000000 /dev/zero > /local/big"), { collect });
  const id = await run.started();
  await until(() => run.events.some(({ $case }) => $case === "fileData"));
  await daemon.client.delete(id);
  expect(await run.ended).toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND" });
  expect(existsSync(daemon.recordDir(id))).toBe(false);
});

it("has the errors of its parts, with the fields of its own request, and leaves nothing", async () => {
  const error = async (...[configure, rest]: [object, object?]): Promise<unknown> => {
    using run = new RunStream(daemon, configure, rest);
    return await run.ended;
  };
  expect(await error({ command: "/no/such" })).toMatchObject({ reason: "COMMAND_NOT_EXECUTABLE" });
  expect(await error({ command: "true", user: "no-such-user" })).toMatchObject({
    code: "INVALID_ARGUMENT",
    field: "configure.user",
  });
  expect(await error({ command: "true", chrootMethod: 77 })).toMatchObject({
    field: "configure.chroot_method",
  });
  expect(await error(SLEEPER, { resources: NO_LIMITS })).toMatchObject({ field: "resources" });
  expect(await error(SLEEPER, { resources: { ...NO_LIMITS, pidsMax: 0n } })).toMatchObject({
    field: "resources.pids_max",
  });
  const file = { path: "/local/a", content: Buffer.of(), mode: 0 };
  const fields: [object, string][] = [
    [{ files: [{ ...file, path: "" }] }, "files[0].path"],
    [{ files: [{ ...file, path: "/etc/a" }] }, "files[0].path"],
    [{ files: [file, { ...file, path: "/local/../a" }] }, "files[1].path"],
    [{ files: [{ ...file, mode: 0o4755 }] }, "files[0].mode"],
    [{ files: [file, file] }, "files[1].path"],
    [{ files: Array.from({ length: 1025 }, (_, n) => ({ ...file, path: `/local/${n}` })) }, "files"],
    [{ collect: [{ path: "/etc/passwd", maxBytes: 1n }] }, "collect[0].path"],
    [{ collect: [{ path: "local", maxBytes: 1n }] }, "collect[0].path"],
    [{ collect: [{ path: "/local/a", maxBytes: 0n }] }, "collect[0].max_bytes"],
    [{ collect: [{ path: "/local/a", maxBytes: 2n ** 63n }] }, "collect[0].max_bytes"],
    [{ heartbeatInterval: { seconds: 86_401n, nanos: 0 } }, "heartbeat_interval"],
    [{ heartbeatInterval: { seconds: 1n, nanos: -1 } }, "heartbeat_interval"],
  ];
  for (const [rest, field] of fields) {
    expect(await error(SLEEPER, rest)).toMatchObject({ code: "INVALID_ARGUMENT", field });
  }
  expect(await error(SLEEPER, { heartbeatInterval: { seconds: 0n, nanos: 1 } })).toMatchObject({
    field: "heartbeat_interval",
  });
});

const NO_LIMITS = {
  memoryBytes: undefined,
  memoryReservationBytes: undefined,
  cpuShares: undefined,
  cpuMillis: undefined,
  cpusetCpus: undefined,
  ioWeight: undefined,
  pidsMax: undefined,
};
