/** What a reader is sent, whatever happens to the logs while they are read. */
import { TaskError } from "../../../src/tasks/errors";
import type { Exit } from "../../../src/tasks/exit";
import type { LogEvent } from "../../../src/tasks/output/events";
import { readLogs, type LoggedTask, type LogsRequest } from "../../../src/tasks/output/read-logs";
import { SharedOutputs } from "../../../src/tasks/output/shared-outputs";
import { Waiters } from "../../../src/tasks/concurrency/waiters";
import { OutputLog } from "../../support/output-log";

const EXIT = { reason: "EXITED" } as Exit;

class FakeTask implements LoggedTask {
  readonly uuid = "task";
  finalExit: Exit | undefined;
  private readonly waiters = new Waiters<Exit>();

  wait(signal?: AbortSignal): Promise<Exit> {
    return this.waiters.wait(signal);
  }

  end(): void {
    this.finalExit = EXIT;
    this.waiters.settle(EXIT);
  }
}

let log: OutputLog;
let task: FakeTask;
let outputs: SharedOutputs;

beforeEach(() => {
  log = new OutputLog();
  task = new FakeTask();
  outputs = new SharedOutputs({ openOutput: () => Promise.resolve(log) });
});

const FROM_START = { kind: "offsets", offsets: { stdout: 0n, stderr: 0n } } as const;

function read(request: Partial<LogsRequest> = {}, signal = new AbortController().signal) {
  const whole: LogsRequest = {
    streams: ["stdout", "stderr"],
    from: FROM_START,
    follow: false,
    heartbeatMs: undefined,
    ...request,
  };
  return readLogs(task, outputs, whole, signal);
}

/** In words: "stdout 0 text", "stdout gap 0 5", "exit". */
async function all(events: AsyncIterable<LogEvent>): Promise<string[]> {
  const words: string[] = [];
  for await (const event of events) words.push(wordsOf(event));
  return words;
}

function wordsOf(event: LogEvent): string {
  switch (event.kind) {
    case "chunk":
      return `${event.stream} ${event.offset} ${event.data.toString("latin1")}`;
    case "gap":
      return `${event.stream} gap ${event.offset} ${event.size}`;
    case "begin":
      return `begin ${event.offsets.stdout} ${event.offsets.stderr}`;
    default:
      return event.kind;
  }
}

function from(stdout: bigint, stderr = 0n): Partial<LogsRequest> {
  return { from: { kind: "offsets", offsets: { stdout, stderr } } };
}

describe("without follow", () => {
  it("is sent what is there, and the exit only of a task that has ended", async () => {
    log.write("stdout", "out");
    log.write("stderr", "err");
    expect(await all(read())).toEqual(["stdout 0 out", "stderr 0 err"]);
    task.end();
    expect(await all(read())).toEqual(["stdout 0 out", "stderr 0 err", "exit"]);
  });

  it("is not sent what comes meanwhile", async () => {
    log.write("stdout", "now");
    log.midway = () => log.write("stdout", " later");
    expect(await all(read())).toEqual(["stdout 0 now"]);
  });

  it("begins at an offset, and at the end has nothing to say", async () => {
    log.write("stdout", "abcdef");
    expect(await all(read(from(4n)))).toEqual(["stdout 4 ef"]);
    expect(await all(read(from(6n)))).toEqual([]);
  });

  it("is refused an offset beyond the end, by its field", async () => {
    log.write("stdout", "abc");
    const refused = all(read(from(4n)));
    await expect(refused).rejects.toMatchObject({ reason: "OFFSET_BEYOND_END", field: "offsets.stdout" });
    expect(await all(read({ ...from(4n), streams: ["stderr"] }))).toEqual([]);
    await expect(all(read(from(2n ** 64n - 1n)))).rejects.toMatchObject({ metadata: { end: "3" } });
  });
});

describe("what is lost", () => {
  it("is a gap, never zeros", async () => {
    log.write("stdout", "0123456789");
    log.lose("stdout", 6);
    expect(await all(read())).toEqual(["stdout gap 0 6", "stdout 6 6789"]);
    expect(await all(read(from(3n)))).toEqual(["stdout gap 3 3", "stdout 6 6789"]);
    expect(await all(read(from(7n)))).toEqual(["stdout 7 789"]);
  });

  it("is a gap when it goes in the middle of the read", async () => {
    log.write("stdout", "0123456789");
    log.midway = () => log.lose("stdout", 8);
    expect(await all(read())).toEqual(["stdout gap 0 8", "stdout 8 89"]);
  });

  it("is one gap when more goes than was asked for", async () => {
    log.write("stdout", "0123456789");
    log.midway = () => {
      log.write("stdout", "abc");
      log.lose("stdout", 12);
    };
    expect(await all(read())).toEqual(["stdout gap 0 10"]);
    log.midway = () => task.end();
    expect(await all(read({ follow: true }))).toEqual(["stdout gap 0 12", "stdout 12 c", "exit"]);
  });

  it("is a gap where the file is cut off because it cannot have holes", async () => {
    log.write("stdout", "0123456789");
    log.midway = () => log.loseAll("stdout");
    expect(await all(read())).toEqual(["stdout gap 0 10"]);
  });

  it("is a gap where there was no room to write it", async () => {
    log.write("stdout", "01");
    log.lose("stdout", 50);
    task.end();
    expect(await all(read())).toEqual(["stdout gap 0 50", "exit"]);
    expect(await all(read(from(50n)))).toEqual(["exit"]);
  });

  it("ends the stream where somebody else has cut the log off", async () => {
    log.write("stdout", "0123456789");
    log.midway = () => log.cutOff("stdout");
    await expect(all(read(from(8n)))).rejects.toMatchObject({ reason: "LOG_GONE" });
  });

  it("adds up with what is sent to all there was, at every size and moment", async () => {
    const text = Buffer.alloc(700_000, "0123456789abcdef");
    for (const [stdout, lost] of [
      [0n, 1],
      [0n, 65_536],
      [70_000n, 300_000],
      [1n, 262_145],
      [65_536n, 699_999],
    ] as const) {
      log = new OutputLog();
      outputs = new SharedOutputs({ openOutput: () => Promise.resolve(log) });
      log.write("stdout", text);
      log.midway = () => log.reads === 2 && log.lose("stdout", lost);
      let next = Number(stdout);
      for await (const event of read(from(stdout))) {
        if (event.kind === "chunk") {
          expect(event.offset).toBe(next);
          expect(event.data.equals(text.subarray(next, next + event.data.length))).toBe(true);
          next += event.data.length;
        }
        if (event.kind === "gap") {
          expect(event.offset).toBe(next);
          next += event.size;
        }
      }
      expect(next).toBe(text.length);
    }
  });
});

describe("the last lines", () => {
  const last = (lines: number): Partial<LogsRequest> => ({
    from: { kind: "lastLines", lines },
    streams: ["stdout"],
  });

  it.each([
    ["a\nb\nc\n", 1, ["begin 4 0", "stdout 4 c\n"]],
    ["a\nb\nc", 1, ["begin 4 0", "stdout 4 c"]],
    ["a\nb\nc\n", 2, ["begin 2 0", "stdout 2 b\nc\n"]],
    ["a\nb\nc\n", 3, ["begin 0 0", "stdout 0 a\nb\nc\n"]],
    ["a\nb\nc\n", 4_000_000_000, ["begin 0 0", "stdout 0 a\nb\nc\n"]],
    ["a\nb\nc\n", 0, ["begin 6 0"]],
    ["\n\n\n", 2, ["begin 1 0", "stdout 1 \n\n"]],
    ["", 5, ["begin 0 0"]],
    ["x", 1, ["begin 0 0", "stdout 0 x"]],
  ])("of %j: %i", async (text, lines, words) => {
    log.write("stdout", text);
    expect(await all(read(last(lines)))).toEqual(words);
  });

  it("are found over several blocks", async () => {
    log.write("stdout", `first\n${"x".repeat(200_000)}\nlast\n`);
    const [begin] = await all(read(last(2)));
    expect(begin).toBe("begin 6 0");
  });

  it("begin with the gap where fewer are kept", async () => {
    log.write("stdout", "a\nb\nc\n");
    log.lose("stdout", 3);
    expect(await all(read(last(1)))).toEqual(["begin 4 0", "stdout 4 c\n"]);
    expect(await all(read(last(3)))).toEqual(["begin 0 0", "stdout gap 0 3", "stdout 3 \nc\n"]);
  });
});

describe("following", () => {
  it.each([
    ["where the host tells of a write", true],
    ["where it does not", false],
  ])("hears of what one who has come meanwhile has seen before, %s", async (_, tells) => {
    log.tells = tells;
    const events = read({ follow: true }, AbortSignal.timeout(2_000));
    const heard = events.next();
    await new Promise((resolve) => setTimeout(resolve, 5));
    log.write("stdout", "x");
    // He looks at once, before anybody is told of the write or looks again.
    expect(await all(read())).toEqual(["stdout 0 x"]);
    expect(await heard).toMatchObject({ value: { kind: "chunk", data: Buffer.from("x") } });
    task.end();
    expect(await all(events)).toEqual(["exit"]);
  });

  it.each([
    ["where the host tells of a write", true],
    ["where it does not", false],
  ])("hears all until the task has ended, %s", async (_, tells) => {
    log.tells = tells;
    const words = all(read({ follow: true }));
    for (const text of ["a", "b", "c"]) {
      log.write("stdout", text);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    log.write("stderr", "last");
    task.end();
    expect(await words).toEqual(["stdout 0 a", "stdout 1 b", "stdout 2 c", "stderr 0 last", "exit"]);
    expect([log.closed, log.watched]).toEqual([true, false]);
  });

  it("hears of a task that has ended before it began", async () => {
    log.write("stdout", "x");
    task.end();
    expect(await all(read({ follow: true }))).toEqual(["stdout 0 x", "exit"]);
  });

  it("is told every so often that nothing has come", async () => {
    const caller = new AbortController();
    const events = read({ follow: true, heartbeatMs: 20 }, caller.signal);
    expect([(await events.next()).value, (await events.next()).value]).toEqual([
      { kind: "heartbeat" },
      { kind: "heartbeat" },
    ]);
    caller.abort();
    await events.return();
    expect(log.closed).toBe(true);
  });

  it("by many costs one read for what they all are sent", async () => {
    const readers = Array.from({ length: 100 }, () => all(read({ follow: true })));
    await new Promise((resolve) => setTimeout(resolve, 10));
    log.reads = 0;
    log.write("stdout", "for all");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(log.reads).toBe(1);
    task.end();
    for (const words of await Promise.all(readers)) expect(words).toEqual(["stdout 0 for all", "exit"]);
    expect(log.closed).toBe(true);
  });

  it("ends with the caller's reason, and looks no more", async () => {
    const caller = new AbortController();
    const words = all(read({ follow: true }, caller.signal));
    await new Promise((resolve) => setTimeout(resolve, 10));
    caller.abort(new TaskError({ reason: "CALL_CANCELLED", message: "gone" }));
    await expect(words).rejects.toMatchObject({ reason: "CALL_CANCELLED" });
    expect([log.closed, log.watched]).toEqual([true, false]);
    const { looks } = log;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(log.looks).toBe(looks);
  });
});

it.each([
  ["ENOENT", "LOG_GONE"],
  ["EMFILE", "HOST_EXHAUSTED"],
])("a log that cannot be opened for %s is %s, and the next reader tries again", async (code, reason) => {
  let fails = true;
  outputs = new SharedOutputs({
    openOutput: () =>
      fails ? Promise.reject(Object.assign(new Error(code), { code })) : Promise.resolve(log),
  });
  await expect(all(read())).rejects.toMatchObject({ reason });
  fails = false;
  expect(await all(read())).toEqual([]);
});
