/** Tasks in a program's hands: what `run` and `attach` give, against a real daemon. */
import { execFileSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

import {
  connect,
  OutputLostError,
  StockadeError,
  TaskFailedError,
  type RunningTask,
  type RunOptions,
  type StockadeClient,
} from "../../src/client";
import { isRoot, TestDaemon } from "../support/daemon";
import { expectNothingLeftSoon } from "../support/leftovers";
import { itRequires } from "../support/requires";

let daemon: TestDaemon;
let client: StockadeClient;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  client = connect(daemon.daemon.address);
});

afterEach(() => expectNothingLeftSoon(daemon));

afterAll(async () => {
  client?.close();
  await daemon?.[Symbol.asyncDispose]();
});

function sh(script: string, options: RunOptions = {}): RunningTask {
  return client.run(["/bin/sh", "-c", script], { allowUnenforced: !isRoot(), ...options });
}

it("a task is a promise of how it ended, and what it wrote", async () => {
  const task = sh("echo out; echo err >&2");
  const result = await task;
  expect(result).toMatchObject({
    id: await task.id,
    reason: "EXITED",
    exitCode: 0,
    signal: undefined,
    failed: false,
    timedOut: false,
    oomKilled: false,
    canceled: false,
    stdout: "out\n",
    stderr: "err\n",
    stdoutTruncated: false,
    stderrTruncated: false,
  });
  expect(result.durationMs).toBeGreaterThan(0);
  expect(result.startedAt?.getTime()).toBeLessThanOrEqual(result.exitedAt?.getTime() ?? 0);
  expect((await task.started).pid).toBeGreaterThan(1);
});

it("what is brought along is there: a standard input, and files", async () => {
  const files = { "/local/in/a.txt": "one\n", "/alloc/data/b.bin": Uint8Array.of(50, 10) };
  const { stdout } = await sh("cat; cat /local/in/a.txt /alloc/data/b.bin", { input: "zero\n", files });
  expect(stdout).toBe("zero\none\n2\n");
});

it("files have the permissions that are asked for", async () => {
  const files = { "/local/tool": { content: "#!/bin/sh\necho from a tool\n", mode: 0o755 } };
  const { stdout } = await client.run(["/local/tool"], { files, allowUnenforced: !isRoot() });
  expect(stdout).toBe("from a tool\n");
});

it("what is collected comes with the result, of a task that fails too", async () => {
  const script = `printf '\\377\\0' >/local/out.bin; chmod 640 /local/out.bin; seq 1000 >/alloc/data/long
    ln -s /local/out.bin /local/link; mkdir /local/dir; : >/local/empty; exit 3`;
  const collect = {
    "/local/out.bin": "1k",
    "/alloc/data/long": 10,
    "/local/link": "1k",
    "/local/dir": "1k",
    "/local/empty": "1k",
    "/local/none": "1k",
  };
  const { exitCode, files } = await sh(script, { collect, reject: false });
  expect(exitCode).toBe(3);
  expect(files).toEqual([
    { path: "/local/out.bin", mode: 0o640, sizeBytes: 2, content: Buffer.of(255, 0), truncated: false },
    {
      path: "/alloc/data/long",
      mode: 0o644,
      sizeBytes: 3893,
      content: Buffer.from("1\n2\n3\n4\n5\n"),
      truncated: true,
    },
    { path: "/local/link", error: "ELOOP" },
    { path: "/local/dir", error: "EISDIR" },
    { path: "/local/empty", mode: 0o644, sizeBytes: 0, content: Buffer.alloc(0), truncated: false },
    { path: "/local/none", error: "ENOENT" },
  ]);
  await expect(sh("true", { collect: { "/etc/passwd": "1k" } })).rejects.toMatchObject({
    reason: "FIELD_INVALID",
    field: "collect[0].path",
  });
  expect(() => sh("true", { collect: { "/local/x": "much" } })).toThrow('collect["/local/x"] must be bytes');
});

it("a stream is no standard input, and that is said", () => {
  const stream = Readable.from("words");
  expect(() => sh("cat", { input: stream as unknown as string })).toThrow("input must be a string or bytes");
});

it("a run of the same requestId is the same task, and has its output", async () => {
  const script = "echo once; echo x >/local/out";
  const once = { requestId: "order 66", collect: { "/local/out": "1k" } };
  const [first, second] = await Promise.all([sh(script, once), sh(script, once)]);
  const third = await sh(script, once);
  expect([second.id, third.id]).toEqual([first.id, first.id]);
  for (const { stdout, files } of [first, second, third]) {
    expect(stdout).toBe("once\n");
    expect(files).toMatchObject([{ path: "/local/out", sizeBytes: 2 }]);
  }
  await expect(sh("echo other", once)).rejects.toMatchObject({
    code: "ALREADY_EXISTS",
    reason: "REQUEST_ID_REUSED",
  });
});

it("a task that fails rejects, with its result", async () => {
  const error: unknown = await sh("echo so; exit 7").catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TaskFailedError);
  expect((error as TaskFailedError).message).toBe("the task exited with code 7");
  expect((error as TaskFailedError).result).toMatchObject({ exitCode: 7, stdout: "so\n", failed: true });
});

it("a task that dies of a signal names it", async () => {
  expect(await sh("kill -SEGV $$", { reject: false })).toMatchObject({
    reason: "SIGNALED",
    exitCode: undefined,
    signal: "SIGSEGV",
    signalNumber: 11,
  });
});

it("what the daemon refuses rejects with its reason and the field", async () => {
  const task = client.run(["true"], { user: "nobody-of-that-name" });
  await expect(task).rejects.toMatchObject({
    name: "StockadeError",
    code: "INVALID_ARGUMENT",
    reason: "USER_UNKNOWN",
    field: "configure.user",
  });
  await expect(task.id).rejects.toBeInstanceOf(StockadeError);
  await expect(task.kill()).rejects.toBeInstanceOf(StockadeError);
});

it("a command that is not there is the daemon's error, not a result", async () => {
  await expect(client.run(["/no/such/program"], { allowUnenforced: !isRoot() })).rejects.toMatchObject({
    reason: "COMMAND_NOT_EXECUTABLE",
    metadata: { errno: "ENOENT", path: "/no/such/program" },
  });
});

it("what cannot be sent throws at once", () => {
  expect(() => sh("true", { timeout: "soon" })).toThrow(TypeError);
  expect(() => sh("true", { limits: { memory: "much" } })).toThrow("limits.memory");
});

it("nobody has to ask how a task ended that nobody waits for", async () => {
  const task = sh("exit 3");
  await task.id;
  await client.wait(await task.id);
  await sleep(20);
});

it("iterating tells all output, and at the end what the promise says", async () => {
  const seen: string[] = [];
  const iterate = async (): Promise<void> => {
    for await (const event of sh("echo a; echo b >&2; exit 1")) {
      if (event.kind === "chunk") seen.push(`${event.stream} ${Buffer.from(event.data).toString()}`);
    }
  };
  await expect(iterate()).rejects.toBeInstanceOf(TaskFailedError);
  expect(seen.sort()).toEqual(["stderr b\n", "stdout a\n"]);
});

it("lines and streams end with the output, and the promise alone tells that the task has failed", async () => {
  const task = sh("echo a; exit 3");
  const lines = [];
  for await (const line of task.lines()) lines.push(line);
  expect([lines, await text(task.stdout)]).toEqual([["a"], "a\n"]);
  await expect(task).rejects.toBeInstanceOf(TaskFailedError);
});

it("to leave the loop is not to end the task", async () => {
  const task = sh("echo first; read line; echo second");
  for await (const event of task) {
    expect(event.kind).toBe("chunk");
    break;
  }
  expect((await task).stdout).toBe("first\nsecond\n");
});

it("who begins late has all that is kept", async () => {
  const task = sh("seq 1000");
  await task;
  const lines = [];
  for await (const line of task.lines()) lines.push(line);
  expect(lines).toHaveLength(1000);
  expect(await text(task.stdout)).toBe((await task).stdout);
  expect(task.stdout).toBe(task.stdout);
});

it("Node streams and web streams have the same bytes", async () => {
  const task = sh("seq 100000; seq 10 >&2");
  const [node, web, errors] = await Promise.all([
    text(task.stdout),
    text(task.toWeb("stdout")),
    text(task.stderr),
  ]);
  expect(node).toBe(Array.from({ length: 100_000 }, (_, at) => `${at + 1}\n`).join(""));
  expect(web).toBe(node);
  expect(errors.split("\n")).toHaveLength(11);
});

it("the result has as much as it may, and says that there was more", async () => {
  const task = sh("head -c 1000000 /dev/zero", { maxBuffer: 1_000 });
  let bytes = 0;
  for await (const event of task) bytes += event.kind === "chunk" ? event.data.length : 0;
  expect(bytes).toBe(1_000_000);
  const { stdout, stdoutTruncated, stderrTruncated } = await task;
  expect([stdout.length, stdoutTruncated, stderrTruncated]).toEqual([1_000, true, false]);
  await expect(text(task.toWeb("stdout"))).rejects.toThrow(OutputLostError);
});

it("output beyond what is to be sent is a gap", async () => {
  const task = sh("head -c 1000 /dev/zero", { maxOutput: 100 });
  const gaps = [];
  for await (const event of task) if (event.kind === "gap") gaps.push(event);
  expect(gaps).toEqual([{ kind: "gap", stream: "stdout", offset: 100n, sizeBytes: 900n }]);
  expect((await task).stdoutTruncated).toBe(true);
});

it("a stream that is not read holds back the daemon, and this program keeps no more", async () => {
  const task = sh("head -c 50000000 /dev/zero", { maxBuffer: 0 });
  const stalled = task.stdout;
  await client.wait(await task.id);
  const [before] = [process.memoryUsage()];
  await sleep(300);
  const grown = process.memoryUsage().arrayBuffers - before.arrayBuffers;
  expect(grown).toBeLessThan(8 * 1024 * 1024);
  // Far less than all is here: what Node, HTTP/2 and gRPC hold between the two.
  expect(stalled.readableLength).toBeLessThan(1024 * 1024);
  let bytes = 0;
  for await (const data of stalled as AsyncIterable<Buffer>) bytes += data.length;
  expect(bytes).toBe(50_000_000);
  await task;
});

it("an AbortSignal ends the task, and is the cause", async () => {
  const caller = new AbortController();
  const task = sh("echo on; exec sleep 1000", { signal: caller.signal });
  await task.id;
  caller.abort(new Error("enough"));
  const error: unknown = await task.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TaskFailedError);
  expect((error as TaskFailedError).result).toMatchObject({ reason: "FORCE_STOPPED", canceled: true });
  expect((error as TaskFailedError).cause).toEqual(new Error("enough"));
});

it("a signal that has fired before runs nothing", async () => {
  await expect(sh("sleep 1000", { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "CANCELLED",
  });
});

it.each(["end", "keep"] as const)(
  "a signal that fires before the start leaves nothing (%s)",
  async (onDisconnect) => {
    const caller = new AbortController();
    const task = sh("exec sleep 1000", { signal: caller.signal, onDisconnect });
    caller.abort();
    await expect(task).rejects.toBeInstanceOf(Error);
    // The request may be on its way still: one that is sent after it is answered when that has been taken up.
    await sh("true");
  },
);

it("a stream that nobody reads does not hold up an abort", async () => {
  const caller = new AbortController();
  const task = sh("cat /dev/zero", { signal: caller.signal, maxBuffer: 0 });
  const stalled = task.stdout;
  await task.id;
  caller.abort();
  await expect(task).rejects.toBeInstanceOf(TaskFailedError);
  await expect(text(stalled)).rejects.toMatchObject({ code: "CANCELLED" });
});

it("kill ends all of it, stop asks first; both may be repeated", async () => {
  const killed = sh("trap '' TERM; while :; do sleep 1000; done", { reject: false });
  await killed.kill();
  expect((await killed).reason).toBe("FORCE_STOPPED");
  await killed.kill();
  await killed.stop();

  const asked = sh("trap 'echo bye; exit 4' USR1; echo on; while :; do sleep 0.01; done", { reject: false });
  for await (const line of asked.lines()) if (line === "on") break;
  await asked.stop({ signal: "SIGUSR1", grace: "1m" });
  expect(await asked).toMatchObject({ exitCode: 4, stdout: "on\nbye\n" });
});

it("a signal ends the wait for a stop, which is carried through", async () => {
  const task = sh("trap 'echo asked' TERM; echo on; while :; do sleep 0.01; done", { reject: false });
  const lines = task.lines();
  expect(await lines.next()).toMatchObject({ value: "on" });
  const gone = { name: "StockadeError", code: "CANCELLED" };
  const aborted = { signal: AbortSignal.abort() };
  await expect(task.kill(aborted)).rejects.toMatchObject(gone);
  await expect(task.stop({}, aborted)).rejects.toMatchObject(gone);
  await expect(client.stop(await task.id, {}, aborted)).rejects.toMatchObject(gone);

  const caller = new AbortController();
  const stopped = task.stop({ grace: "1s" }, { signal: caller.signal });
  expect(await lines.next()).toMatchObject({ value: "asked" });
  caller.abort();
  await expect(stopped).rejects.toMatchObject(gone);
  expect((await task).reason).toBe("FORCE_STOPPED");
});

it("a signal, as the time, ends the wait for a daemon that is not there", async () => {
  using nowhere = connect(`${daemon.daemon.address}.none`);
  const caller = new AbortController();
  const ready = nowhere.ready(60_000, caller);
  caller.abort(new Error("enough"));
  await expect(ready).rejects.toMatchObject({ code: "CANCELLED", cause: new Error("enough") });
  await expect(nowhere.ready(60_000, caller)).rejects.toMatchObject({ code: "CANCELLED" });
  await expect(nowhere.ready(10)).rejects.toMatchObject({ name: "StockadeError", code: "UNAVAILABLE" });
  nowhere.close();
  await expect(nowhere.ready(60_000)).rejects.toMatchObject({ reason: "CLIENT_CLOSED" });
});

it("a task goes with its handle, unless it is detached", async () => {
  let id: string;
  {
    await using held = sh("exec sleep 1000");
    id = await held.id;
  }
  expect((await client.wait(id)).exit?.status).toEqual({ $case: "signal", value: 9 });
  {
    await using detached = sh("exec sleep 1000", { detach: true });
    id = await detached.id;
  }
  expect(daemon.taskProcesses().length).toBeGreaterThan(0);
  await client.forceStop(id);
});

it("attach has a task's output from where one has it, and its exit; to let go of it leaves it alone", async () => {
  const first = sh("echo before; while ! test -e /alloc/data/go; do sleep 0.01; done; echo after; exit 5", {
    detach: true,
    alloc: "attached",
  });
  for await (const line of first.lines()) if (line === "before") break;
  const id = await first.id;
  first.release();
  await expect(first).rejects.toMatchObject({ code: "CANCELLED" });
  const caller = new AbortController();
  const given = client.attach(id, { signal: caller.signal });
  caller.abort();
  await expect(given).rejects.toMatchObject({ code: "CANCELLED" });

  const again = client.attach(id, { from: { stdout: 7n }, reject: false });
  await client.run(["touch", "/alloc/data/go"], {
    alloc: "attached",
    name: "go",
    allowUnenforced: !isRoot(),
  });
  expect(await again).toMatchObject({ id, exitCode: 5, stdout: "after\n" });
  // And long after the end.
  expect(await client.attach(id, { reject: false })).toMatchObject({ stdout: "before\nafter\n" });
});

it("to attach to what is not there is NOT_FOUND", async () => {
  const id = `CGROUP:${daemon.cgroupRoot}/01a2242e-0000-7000-8000-000000000000`;
  await expect(client.attach(id)).rejects.toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND" });
});

it("two tasks of one name cannot run at one time", async () => {
  await using first = sh("exec sleep 1000", { name: "only" });
  await first.id;
  await expect(sh("true", { name: "only" })).rejects.toMatchObject({ reason: "TASK_EXISTS" });
});

itRequires(["root", "cgroups"], "limits are in the units of people", async () => {
  const task = sh("true", { limits: { memory: "64m", cpus: 0.5, pids: 20 } });
  const { effective } = await task.started;
  expect(effective).toMatchObject({ memoryBytes: 67_108_864n, cpuMillis: 500n, pidsMax: 20n });
  await task;
});

itRequires(["root", "cgroups"], "a task that runs out of memory says so", async () => {
  const result = await sh("exec tail /dev/zero", { limits: { memory: "16m" }, reject: false });
  expect(result).toMatchObject({ reason: "OOM_KILLED", oomKilled: true, signal: "SIGKILL" });
});

it("a task that runs longer than it may says so", async () => {
  const result = await sh("exec sleep 1000", { timeout: "300ms", reject: false });
  expect(result).toMatchObject({ reason: "TIMED_OUT", timedOut: true, signal: "SIGKILL" });
});

it("environment, directory and mounts are the task's", async () => {
  const { stdout } = await sh('echo "$GREETING"; pwd', { env: { GREETING: "hi" }, workDir: "/tmp" });
  expect(stdout).toBe("hi\n/tmp\n");
});

itRequires("root", "a task is who it is told to be, by name or by number", async () => {
  const uid = execFileSync("id", ["-u", "daemon"], { encoding: "latin1" });
  const gid = execFileSync("id", ["-g", "daemon"], { encoding: "latin1" });
  const script = "id -u; id -g";
  expect((await sh(script, { user: "daemon" })).stdout).toBe(uid + gid);
  expect((await sh(script, { user: Number(uid), group: Number(gid) })).stdout).toBe(uid + gid);
});

it("a task has a network of its own, or the host's", async () => {
  const hosts = `${readlinkSync("/proc/self/ns/net")}\n`;
  const script = "readlink /proc/self/ns/net";
  expect((await sh(script, { network: "host" })).stdout).toBe(hosts);
  for (const network of ["none", undefined] as const) {
    const { stdout } = await sh(script, { network });
    expect(stdout).toMatch(/^net:\[\d+\]\n$/);
    expect(stdout).not.toBe(hosts);
  }
});

it("a command line is split by shell-word rules", async () => {
  const { stdout } = await client.run(`printf '%s|' "a b" c`, { allowUnenforced: !isRoot() });
  expect(stdout).toBe("a b|c|");
});
