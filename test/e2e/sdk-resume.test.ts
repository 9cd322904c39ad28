/** Lost connections and restarts of the daemon, of which who holds a task learns nothing. */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { connect, type RunningTask } from "../../src/client";
import { CuttingProxy } from "../support/cutting-proxy";
import { isRoot, TestDaemon } from "../support/daemon";
import { expectNothingLeftSoon } from "../support/leftovers";
import { Random } from "../support/random";
import { SLOW } from "../support/requires";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start({ log_bytes: 512 * 1024 * 1024, end_tasks_on_stop: false });
});

afterEach(async () => {
  await daemon.startUnlessRunning();
  await expectNothingLeftSoon(daemon);
});

afterAll(() => daemon?.[Symbol.asyncDispose]());

function socketOf({ daemon: { address } }: TestDaemon): string {
  return address.replace(/^unix:/, "");
}

/** Writes a line a moment; each is another. */
const COUNT = "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.01; done; exit 6";
const COUNTED = Array.from({ length: 400 }, (_, at) => `${at}\n`).join("");

/** `seq` up to so much: the bytes of which have a hash that is known. */
const LAST = 3_000_000;

function hashOfSeq(): string {
  const hash = createHash("sha256");
  for (let at = 1; at <= LAST; at++) hash.update(`${at}\n`);
  return hash.digest("hex");
}

async function hashOf(task: RunningTask): Promise<string> {
  const hash = createHash("sha256");
  let next = 0n;
  for await (const event of task) {
    expect(event.kind).toBe("chunk");
    expect(event.offset).toBe(next);
    if (event.kind !== "chunk") continue;
    next += BigInt(event.data.length);
    hash.update(event.data);
  }
  return hash.digest("hex");
}

it.each(["SIGKILL", "SIGTERM"] as const)("a daemon that is restarted (%s) is not noticed", async (signal) => {
  using client = connect(daemon.daemon.address);
  const task = client.run(["/bin/sh", "-c", COUNT], { reject: false, allowUnenforced: !isRoot() });
  let lines = 0;
  for await (const line of task.lines()) {
    expect(line).toBe(`${lines++}`);
    if (lines === 50 || lines === 200) await daemon.restart(signal);
  }
  expect(await task).toMatchObject({ exitCode: 6, stdout: COUNTED, stdoutTruncated: false });
});

it("connections that are cut anywhere cost no byte, and none comes twice", async () => {
  const random = new Random(7);
  let cutting = false;
  await using proxy = await CuttingProxy.start(socketOf(daemon), () =>
    cutting ? random.between(1, 4_000_000) : Infinity,
  );
  using client = connect(proxy.address);
  const task = client.run(["seq", `${LAST}`], {
    onDisconnect: "keep",
    maxBuffer: 0,
    allowUnenforced: !isRoot(),
  });
  const hashed = hashOf(task);
  await task.id;
  cutting = true;
  proxy.cut();
  expect(await hashed).toBe(hashOfSeq());
  expect(proxy.cuts).toBeGreaterThan(3);
});

/** Cuts a connection after each of so many bytes, and lets the next ones be. */
function cutAfter(bytes: readonly number[]): () => number {
  const left = [...bytes];
  return () => left.shift() ?? Infinity;
}

it.each(["keep", "end"] as const)(
  "a run whose answer is lost, wherever it was cut off, is made again and runs once (%s)",
  async (onDisconnect) => {
    for (const bytes of [1, 30, 60, 90, 120, 150, 180, 210, 250, 300]) {
      await using proxy = await CuttingProxy.start(socketOf(daemon), cutAfter([bytes, bytes + 1]));
      using client = connect(proxy.address);
      const name = daemon.freshName();
      const result = await client.run(["sh", "-c", "echo x >>/alloc/data/ran; cat /alloc/data/ran"], {
        labels: { once: name },
        onDisconnect,
        reject: false,
        allowUnenforced: !isRoot(),
      });
      const tasks = [];
      for await (const task of client.listAll({ labels: { once: name } })) tasks.push(task.id);
      expect(tasks).toEqual([result.id]);
      // A task that is to end with its connection may have.
      const ends = onDisconnect === "keep" ? ["EXITED"] : ["EXITED", "FORCE_STOPPED"];
      expect(ends).toContain(result.reason);
      if (result.reason === "EXITED") expect(result.stdout).toBe("x\n");
    }
  },
);

it("a run that begins while the daemon is away begins when it is back", async () => {
  using client = connect(daemon.daemon.address);
  await daemon.end("SIGKILL");
  const task = client.run(["echo", "back"], { allowUnenforced: !isRoot() });
  await daemon.startAgain();
  expect((await task).stdout).toBe("back\n");
});

it("what is to be collected is, of a task whose daemon was restarted", async () => {
  using client = connect(daemon.daemon.address);
  const task = client.run(["sh", "-c", COUNT.replace("exit 6", "echo done >/local/out; exit 6")], {
    collect: { "/local/out": "1k", "/local/none": "1k" },
    reject: false,
    allowUnenforced: !isRoot(),
  });
  for await (const line of task.lines()) if (line === "50") await daemon.restart("SIGKILL");
  const { exitCode, stdout, files } = await task;
  expect({ exitCode, stdout }).toEqual({ exitCode: 6, stdout: COUNTED });
  expect(files).toEqual([
    { path: "/local/out", mode: 0o644, sizeBytes: 5, content: Buffer.from("done\n"), truncated: false },
    { path: "/local/none", error: "ENOENT" },
  ]);
});

it("what was to be collected of a task that is no longer on record is not, and nothing runs again", async () => {
  await using proxy = await CuttingProxy.start(socketOf(daemon), () => Infinity);
  using client = connect(proxy.address);
  const labels = { gone: daemon.freshName() };
  const task = client.run(["head", "-c", "50000000", "/dev/zero"], {
    labels,
    onDisconnect: "keep",
    collect: { "/local/out": "1k" },
    maxBuffer: 0,
    allowUnenforced: !isRoot(),
  });
  const id = await task.id;
  proxy.cut();
  let bytes = 0;
  for await (const event of task) {
    if (event.kind !== "chunk") continue;
    const before = bytes;
    bytes += event.data.length;
    // So much was not on its way when the connection was cut: Logs sends it, and the exit is not heard of yet.
    if (before >= 20_000_000 || bytes < 20_000_000) continue;
    await daemon.client.wait(id);
    await daemon.client.delete(id);
  }
  expect(bytes).toBe(50_000_000);
  expect((await task).files).toEqual([{ path: "/local/out", error: "ESTALE" }]);
  expect((await client.list({ labels })).tasks).toEqual([]);
});

it("a cut connection ends a task that is to live no longer, and its handle says so", async () => {
  await using proxy = await CuttingProxy.start(socketOf(daemon), () => Infinity);
  using client = connect(proxy.address);
  const task = client.run(["sleep", "1000"], { reject: false, allowUnenforced: !isRoot() });
  await task.id;
  proxy.cut();
  expect(await task).toMatchObject({ reason: "FORCE_STOPPED", canceled: false });
});

it("a signal, or the handle's end, ends a task whose daemon is away", async () => {
  using client = connect(daemon.daemon.address);
  const task = client.run(["sleep", "1000"], {
    onDisconnect: "keep",
    reject: false,
    allowUnenforced: !isRoot(),
  });
  await task.id;
  await daemon.end("SIGKILL");
  const disposed = task[Symbol.asyncDispose]();
  await sleep(100);
  await daemon.startAgain();
  await disposed;
  expect(await task).toMatchObject({ reason: "FORCE_STOPPED" });
});

it("a program that was started again goes on where it has stopped", async () => {
  const first = connect(daemon.daemon.address);
  const task = first.run(["/bin/sh", "-c", COUNT], { detach: true, allowUnenforced: !isRoot() });
  let text = "";
  for await (const event of task) {
    if (event.kind === "chunk") text += Buffer.from(event.data).toString();
    if (text.length > 200) break;
  }
  const id = await task.id;
  task.release();
  first.close();
  await daemon.restart("SIGKILL");

  using second = connect(daemon.daemon.address);
  const again = second.attach(id, { from: { stdout: BigInt(text.length) }, reject: false });
  const { stdout, exitCode } = await again;
  expect(text + stdout).toBe(COUNTED);
  expect(exitCode).toBe(6);
});

it("Wait and ForceStop are made again over a restart; without time for it they fail", async () => {
  using client = connect({ address: daemon.daemon.address, retryMs: 10_000 * SLOW });
  const task = client.run(["sleep", "1000"], {
    onDisconnect: "keep",
    reject: false,
    allowUnenforced: !isRoot(),
  });
  const id = await task.id;
  const waiting = client.wait(id);
  const impatient = client.wait(id, { retryMs: 0 }).catch((error: unknown) => error);
  await sleep(50);
  await daemon.end("SIGKILL");
  expect(await impatient).toMatchObject({ code: "UNAVAILABLE" });
  const stopping = client.forceStop(id);
  await daemon.startAgain();
  await stopping;
  expect((await waiting).exit?.status).toEqual({ $case: "signal", value: 9 });
  await task;
});
