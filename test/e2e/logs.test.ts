/** Logs: every byte of a task's output, once, whatever becomes of connection, daemon, log and other readers. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { credentials, type ServiceError } from "@grpc/grpc-js";

import {
  connect,
  ExecutorServiceClient,
  ExitReason,
  LogsRequest,
  OutputStream,
  StockadeClient,
  StockadeError,
  type ConfigureFields,
  type LogEvent,
  type LogsOptions,
} from "../../src/client";
import { CuttingProxy } from "../support/cutting-proxy";
import { descriptors, failure, SLEEPER, TestDaemon, until } from "../support/daemon";
import { expectNothingLeftSoon } from "../support/leftovers";
import { Random } from "../support/random";
import { SLOW } from "../support/requires";

const LOG_BYTES = 256 * 2 ** 20;

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start({ log_bytes: LOG_BYTES });
});

afterEach(() => expectNothingLeftSoon(daemon));

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

function shell(script: string): ConfigureFields {
  return { command: "/bin/sh", args: ["-c", script] };
}

/** What has come of one stream, checked to be without a hole or a repetition. */
class Received {
  private readonly hash = createHash("sha256");
  readonly gaps: { readonly offset: number; readonly size: number }[] = [];
  text = "";
  next: number | undefined;

  /** @param keepsText whether there is room for what comes */
  constructor(private readonly keepsText = true) {}

  take(event: LogEvent & { readonly kind: "chunk" | "gap" }): void {
    const offset = Number(event.offset);
    if (offset !== (this.next ?? offset)) throw new Error(`at ${offset}, expected ${this.next}`);
    const size = event.kind === "chunk" ? event.data.length : Number(event.sizeBytes);
    if (size === 0) throw new Error("an event without a byte");
    this.next = offset + size;
    if (event.kind === "gap") {
      this.gaps.push({ offset, size });
      return;
    }
    this.hash.update(event.data);
    if (this.keepsText) this.text += Buffer.from(event.data).toString("latin1");
  }

  get sha256(): string {
    return this.hash.copy().digest("hex");
  }
}

interface Whole {
  readonly stdout: Received;
  readonly stderr: Received;
  readonly exit: ExitReason | undefined;
}

async function receive(events: AsyncIterable<LogEvent>, keepsText = true): Promise<Whole> {
  const streams = { stdout: new Received(keepsText), stderr: new Received(keepsText) };
  let exit: ExitReason | undefined;
  for await (const event of events) {
    if (exit !== undefined) throw new Error("something came after the exit");
    if (event.kind === "exit") exit = event.exit.reason;
    if (event.kind === "chunk" || event.kind === "gap") streams[event.stream].take(event);
  }
  return { ...streams, exit };
}

const logs = (id: string, options?: LogsOptions): Promise<Whole> => receive(daemon.client.logs(id, options));

/** What `seq last` prints. */
function sequence(last: number): string {
  return Array.from({ length: last }, (_, index) => `${index + 1}\n`).join("");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024;
}

describe("of a task that has ended", () => {
  let id: string;

  beforeAll(async () => {
    ({ id } = await daemon.run("printf 'one\\ntwo\\nthree\\n'; printf 'wrong\\n' >&2; exit 3"));
  });

  it.each<[string, LogsOptions | undefined, string, string]>([
    ["everything", undefined, "one\ntwo\nthree\n", "wrong\n"],
    ["one stream", { streams: ["stderr"] }, "", "wrong\n"],
    ["a stream that is asked for twice", { streams: ["stdout", "stdout"] }, "one\ntwo\nthree\n", ""],
    ["an offset in each", { from: { offsets: { stdout: 4n, stderr: 5n } } }, "two\nthree\n", "\n"],
    ["the ends as offsets", { from: { offsets: { stdout: 14n, stderr: 6n } } }, "", ""],
    ["the end", { from: "end" }, "", ""],
    ["the last line", { from: { lastLines: 1 } }, "three\n", "wrong\n"],
    ["the last two lines", { from: { lastLines: 2 } }, "two\nthree\n", "wrong\n"],
    ["no line", { from: { lastLines: 0 } }, "", ""],
    ["more lines than there are", { from: { lastLines: 4_294_967_295 } }, "one\ntwo\nthree\n", "wrong\n"],
    ["everything, with follow", { follow: true }, "one\ntwo\nthree\n", "wrong\n"],
  ])("%s, and its exit", async (_, options, stdout, stderr) => {
    const whole = await logs(id, options);
    expect([whole.stdout.text, whole.stderr.text]).toEqual([stdout, stderr]);
    expect(whole.exit).toBe(ExitReason.EXIT_REASON_EXITED);
  });

  it("of one that has written nothing there is the exit", async () => {
    const { id: silent } = await daemon.run("true");
    const { stdout, stderr, exit } = await logs(silent, { follow: true });
    expect([stdout.text, stderr.text, exit]).toEqual(["", "", ExitReason.EXIT_REASON_EXITED]);
  });

  it("every byte that there is comes as it is", async () => {
    const escapes = Array.from({ length: 256 }, (_, byte) => `\\${byte.toString(8).padStart(3, "0")}`);
    const { id: binary } = await daemon.run(`printf '${escapes.join("")}'`);
    const { stdout } = await logs(binary);
    expect(Buffer.from(stdout.text, "latin1")).toEqual(Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
  });
});

describe("of a task that runs", () => {
  it("without follow there is what has come so far, and no exit", async () => {
    const { id } = await daemon.started(shell("echo so far; exec sleep 1000"));
    await until(async () => (await daemon.output(id)).stdout === "so far\n");
    const { stdout, exit } = await logs(id);
    expect([stdout.text, exit]).toEqual(["so far\n", undefined]);
    await daemon.client.forceStop(id);
  });

  it("follow waits for Start, hears both streams, and ends with the exit", async () => {
    const id = await daemon.configure(shell("echo a; sleep 0.1; echo b >&2; sleep 0.1; echo c; exit 1"));
    const whole = logs(id, { follow: true });
    await sleep(50);
    await daemon.client.start(id);
    const { stdout, stderr, exit } = await whole;
    expect([stdout.text, stderr.text, exit]).toEqual(["a\nc\n", "b\n", ExitReason.EXIT_REASON_EXITED]);
  });

  it("from the end there is only what comes then", async () => {
    const { id } = await daemon.started(shell("echo old; while sleep 0.05; do echo new; done"));
    await until(async () => (await daemon.output(id)).stdout.includes("old"));
    const events = daemon.client.logs(id, { from: "end", follow: true });
    const begin = (await events.next()).value;
    const chunk = (await events.next()).value;
    expect([begin?.kind, chunk?.kind]).toEqual(["begin", "chunk"]);
    expect(chunk?.kind === "chunk" && Buffer.from(chunk.data).toString()).toMatch(/^(new\n)+$/);
    await events.return();
    await daemon.client.forceStop(id);
  });

  it("what is left in the pipe of a task that is killed comes before the exit", async () => {
    const { id } = await daemon.started(shell("seq 100000; (sleep 0.2; echo late) & exec sleep 1000"));
    const whole = logs(id, { follow: true });
    await until(async () => (await daemon.output(id)).stdout.includes("late"));
    await daemon.client.forceStop(id);
    const { stdout, exit } = await whole;
    expect(stdout.text === `${sequence(100_000)}late\n`).toBe(true);
    expect(exit).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
  });

  it("a task that nobody starts ends its followers with NEVER_STARTED", async () => {
    const id = await daemon.configure(SLEEPER);
    const whole = logs(id, { follow: true });
    await daemon.client.forceStop(id);
    expect((await whole).exit).toBe(ExitReason.EXIT_REASON_NEVER_STARTED);
  });

  const megabytes = 200 / SLOW;
  it(
    `${megabytes} MB come byte for byte`,
    async () => {
      const lines = megabytes * 120_000;
      const { id } = await daemon.started(shell(`seq ${lines}`));
      const { stdout, exit } = await receive(daemon.client.logs(id, { follow: true }), false);
      expect(exit).toBe(ExitReason.EXIT_REASON_EXITED);
      expect(stdout.next).toBeGreaterThan(0.9 * megabytes * 1_000_000);
      expect(stdout.gaps).toEqual([]);
      const expected = createHash("sha256");
      for (let first = 1; first <= lines; first += 100_000) {
        expected.update(Array.from({ length: 100_000 }, (_, index) => `${first + index}\n`).join(""));
      }
      expect(stdout.sha256).toBe(expected.digest("hex"));
    },
    300_000 * SLOW,
  );
});

describe("the daemon", () => {
  it("holds nothing of a reader that has gone", async () => {
    const { id } = await daemon.started(shell("while echo x; do sleep 0.01; done"));
    const before = descriptors(daemon.pid);
    const readers = Array.from({ length: 20 }, () => daemon.client.logs(id, { follow: true }));
    for (const reader of readers) await reader.next();
    // Two logs, the exit record, and what the host tells changes by.
    expect(descriptors(daemon.pid)).toBeLessThanOrEqual(before + 4);
    for (const reader of readers) await reader.return();
    // What the host tells changes by is one descriptor for all logs, which stays.
    await until(() => descriptors(daemon.pid) <= before + 1);
    await daemon.client.forceStop(id);
  });

  it("lets a reader go on whose record expires", async () => {
    await using small = await TestDaemon.start({ ended_max_records: 0 });
    const id = await small.configure(shell("seq 1000000"));
    const events = small.client.logs(id, { follow: true });
    // Called before Start, on the same connection: the record expires at the task's end.
    const opened = events.next();
    await small.client.start(id);
    const first = await opened;
    await small.client.wait(id).catch(() => undefined);
    await until(async () => (await failure(small.client.wait(id))).reason === "TASK_NOT_FOUND");
    const received = new Received();
    if (first.value?.kind === "chunk") received.take(first.value);
    for await (const event of events) if (event.kind === "chunk") received.take(event);
    expect(received.text === sequence(1_000_000)).toBe(true);
  });

  it("says so where somebody has removed a log", async () => {
    const { id } = await daemon.run("echo x");
    await rm(join(daemon.recordDir(id), "log"), { recursive: true });
    expect(await failure(logs(id))).toMatchObject({ code: "NOT_FOUND", reason: "LOG_GONE" });
  });

  it("has no more streams than it may, and has one again when one ends", async () => {
    await using small = await TestDaemon.start({ max_streams: 2 });
    const { id } = await small.started(shell("echo x; exec sleep 1000"));
    const open = [small.client.logs(id, { follow: true }), small.client.logs(id, { follow: true })];
    for (const one of open) await one.next();
    expect(await failure(receive(small.client.logs(id)))).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_STREAMS",
    });
    await open[0]?.return();
    await until(async () => (await receive(small.client.logs(id)).catch(() => undefined)) !== undefined);
    await open[1]?.return();
  });

  it("ends every stream with UNAVAILABLE when it stops, a stopped reader's too", async () => {
    await using own = await TestDaemon.start({ end_tasks_on_stop: false });
    const { id } = await own.started(shell("echo x; exec sleep 1000"));
    const { id: loud } = await own.started(shell("cat /dev/zero"));
    // Of its own: the other is closed with the daemon.
    const client = new StockadeClient(own.daemon.address);
    const silent = client.logs(id, { follow: true });
    await silent.next();
    const stopped = client.logs(loud, { follow: true });
    await stopped.next();
    const told = failure(receive(silent));
    await own.end("SIGTERM");
    expect(await told).toMatchObject({ code: "UNAVAILABLE", reason: "STOPPING" });
    expect(await failure(receive(stopped))).toMatchObject({ code: "UNAVAILABLE" });
    client.close();
  });
});

describe("at its cap", () => {
  it(
    "the log announces to a slow reader exactly what it has lost",
    async () => {
      await using small = await TestDaemon.start({ log_bytes: 4 * 2 ** 20 });
      const { id } = await small.started(shell("seq 6000000"));
      const events = small.client.logs(id, { follow: true });
      const received = new Received();
      let taken = 0;
      for await (const event of events) {
        if (event.kind !== "chunk" && event.kind !== "gap") continue;
        received.take(event);
        // What follows is written while nobody reads.
        if (++taken === 3) await small.client.wait(id);
      }
      const expected = sequence(6_000_000);
      expect(received.next).toBe(expected.length);
      expect(received.gaps.length).toBeGreaterThan(0);
      let kept = "";
      let at = 0;
      for (const { offset, size } of received.gaps) {
        kept += expected.slice(at, offset);
        at = offset + size;
      }
      expect(sha256(received.text)).toBe(sha256(kept + expected.slice(at)));
    },
    120_000 * SLOW,
  );
});

describe("who is cut off", () => {
  it(
    "by a proxy, at any byte, misses and repeats nothing",
    async () => {
      const random = new Random(7);
      const socket = daemon.daemon.address.slice("unix:".length);
      await using proxy = await CuttingProxy.start(socket, () => random.between(1, 3_000_000));
      const { id } = await daemon.started(shell("seq 3000000"));
      // It may be cut off before the first byte, too.
      using client = connect(proxy.address);
      const { stdout, exit } = await receive(client.output(id, { follow: true }));
      expect(stdout.gaps).toEqual([]);
      expect(stdout.text === sequence(3_000_000)).toBe(true);
      expect(exit).toBe(ExitReason.EXIT_REASON_EXITED);
      expect(proxy.cuts).toBeGreaterThan(2);
    },
    300_000 * SLOW,
  );

  it(
    "by the daemon's death, again and again, misses and repeats nothing",
    async () => {
      await using own = await TestDaemon.start({ end_tasks_on_stop: false });
      const lines = 400;
      const id = await own.configure(
        shell(`for i in $(seq ${lines}); do echo $i; echo e$i >&2; sleep 0.01; done`),
      );
      await own.client.start(id);
      const client = new StockadeClient(own.daemon.address);
      const whole = receive(client.output(id, { from: "end", follow: true }));
      const all = receive(client.output(id, { follow: true }));
      for (const signal of ["SIGKILL", "SIGTERM", "SIGKILL"] as const) {
        await sleep(700);
        await own.restart(signal);
      }
      const { stdout, stderr, exit } = await all;
      expect(stdout.text).toBe(sequence(lines));
      expect(stderr.text).toBe(sequence(lines).replaceAll(/^(?=\d)/gm, "e"));
      expect(exit).toBe(ExitReason.EXIT_REASON_EXITED);
      const part = await whole;
      expect(sequence(lines).endsWith(part.stdout.text)).toBe(true);
      expect(part.exit).toBe(ExitReason.EXIT_REASON_EXITED);
      client.close();
    },
    300_000 * SLOW,
  );

  it("is told of an end that no retry can change", async () => {
    const gone = failure(
      receive(daemon.client.output("CGROUP:/nobody/0198c3d2-0000-7000-8000-000000000000")),
    );
    expect((await gone).code).toBe("NOT_FOUND");
    const { id } = await daemon.started();
    const caller = new AbortController();
    const followed = failure(receive(daemon.client.output(id, { follow: true, signal: caller.signal })));
    await sleep(50);
    caller.abort();
    expect((await followed).code).toBe("CANCELLED");
    await daemon.client.forceStop(id);
  });
});

describe("1,000 followers of one task, beside one that has stopped reading", () => {
  it(
    "are sent every byte, and the daemon stays small",
    async () => {
      const connections = Array.from({ length: 4 }, () => new StockadeClient(daemon.daemon.address));
      const stoppedClient = new StockadeClient(daemon.daemon.address);
      const id = await daemon.configure(
        shell("for i in $(seq 20); do seq 2000; sleep 0.05; done; seq 1000000 >&2"),
      );
      const before = { descriptors: descriptors(daemon.pid), bytes: await residentBytes(daemon.pid) };
      const stopped = stoppedClient.logs(id, { follow: true });
      const first = stopped.next();
      const options: LogsOptions = { streams: ["stdout"], follow: true };
      const followers = connections.flatMap((client) =>
        Array.from({ length: 250 }, () => receive(client.logs(id, options))),
      );
      await daemon.client.start(id);
      await first;
      await daemon.client.wait(id);
      const expected = sequence(2000).repeat(20);
      for (const { stdout, exit } of await Promise.all(followers)) {
        expect([stdout.text === expected, stdout.gaps, exit]).toEqual([
          true,
          [],
          ExitReason.EXIT_REASON_EXITED,
        ]);
      }
      // The five connections, three files, and the one descriptor by which the host tells of changes.
      expect(descriptors(daemon.pid)).toBeLessThanOrEqual(before.descriptors + 9);
      expect((await residentBytes(daemon.pid)) - before.bytes).toBeLessThan(400 * 2 ** 20);
      await stopped.return();
      for (const client of [...connections, stoppedClient]) client.close();
    },
    300_000 * SLOW,
  );
});

describe("bad input", () => {
  const ID = "CGROUP:/stockade/0198c3d2-0000-7000-8000-000000000000";
  let id: string;

  beforeAll(async () => {
    ({ id } = await daemon.run("echo x"));
  });

  it.each<[string, LogsOptions, string, string, string | undefined]>([
    [
      "an offset beyond the end",
      { from: { offsets: { stdout: 3n } } },
      "OUT_OF_RANGE",
      "OFFSET_BEYOND_END",
      "offsets.stdout",
    ],
    [
      "one in stderr",
      { from: { offsets: { stderr: 1n } } },
      "OUT_OF_RANGE",
      "OFFSET_BEYOND_END",
      "offsets.stderr",
    ],
    [
      "the largest",
      { from: { offsets: { stdout: 2n ** 64n - 1n } } },
      "OUT_OF_RANGE",
      "OFFSET_BEYOND_END",
      "offsets.stdout",
    ],
    [
      "one with follow",
      { from: { offsets: { stdout: 3n } }, follow: true },
      "OUT_OF_RANGE",
      "OFFSET_BEYOND_END",
      "offsets.stdout",
    ],
    [
      "a short heartbeat",
      { follow: true, heartbeatMs: 999 },
      "INVALID_ARGUMENT",
      "FIELD_INVALID",
      "heartbeat_interval",
    ],
    ["none", { heartbeatMs: 0 }, "INVALID_ARGUMENT", "FIELD_INVALID", "heartbeat_interval"],
    ["a negative one", { heartbeatMs: -1000 }, "INVALID_ARGUMENT", "FIELD_INVALID", "heartbeat_interval"],
    [
      "one of more than a day",
      { heartbeatMs: 86_400_001 },
      "INVALID_ARGUMENT",
      "FIELD_INVALID",
      "heartbeat_interval",
    ],
  ])("%s", async (_, options, code, reason, field) => {
    expect(await failure(logs(id, options))).toMatchObject({ code, reason, field });
  });

  it.each([
    ["no id", "", "INVALID_ARGUMENT", "FIELD_MISSING", "id"],
    ["a word", "task", "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["a bare pid", "PID:1", "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["a way up", "CGROUP:/stockade/../x", "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["an id that no task has", ID, "NOT_FOUND", "TASK_NOT_FOUND", undefined],
  ])("%s", async (_, wrong, code, reason, field) => {
    expect(await failure(logs(wrong))).toMatchObject({ code, reason, field });
  });

  it.each<[string, Partial<LogsRequest>, string]>([
    ["an unspecified stream", { streams: [OutputStream.OUTPUT_STREAM_UNSPECIFIED] }, "streams[0]"],
    [
      "an unknown stream",
      { streams: [OutputStream.OUTPUT_STREAM_STDOUT, OutputStream.UNRECOGNIZED] },
      "streams[1]",
    ],
    [
      "more streams than there are",
      { streams: new Array<OutputStream>(17).fill(OutputStream.OUTPUT_STREAM_STDOUT) },
      "streams",
    ],
    [
      "a million streams",
      { streams: new Array<OutputStream>(1_000_000).fill(OutputStream.OUTPUT_STREAM_STDOUT) },
      "streams",
    ],
    ["an end that is false", { from: { $case: "end", value: false } }, "end"],
    [
      "too many nanoseconds",
      { heartbeatInterval: { seconds: 5n, nanos: 1_000_000_000 } },
      "heartbeat_interval",
    ],
    ["too few", { heartbeatInterval: { seconds: 5n, nanos: -1 } }, "heartbeat_interval"],
  ])("%s", async (_, fields, field) => {
    const rpc = new ExecutorServiceClient(daemon.daemon.address, credentials.createInsecure());
    const call = rpc.logs({ ...LogsRequest.fromPartial({ id }), ...fields });
    const [error] = (await once(call.resume(), "error")) as [ServiceError];
    rpc.close();
    expect(new StockadeError(error)).toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "FIELD_INVALID",
      field,
    });
  });

  it("an offset of a stream that is not asked for is not looked at", async () => {
    const { exit } = await logs(id, { streams: ["stderr"], from: { offsets: { stdout: 99n } } });
    expect(exit).toBe(ExitReason.EXIT_REASON_EXITED);
  });
});
