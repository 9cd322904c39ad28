/** A task's output between the one who receives it and those who read it. */
import { text } from "node:stream/consumers";

import type { OutputEvent, OutputStreamName } from "../../src/client";
import { KeptOutput } from "../../src/client/kept-output";
import { OutputLostError, toLines, toReadable, toWebStream } from "../../src/client/output-bytes";
import { OutputHub } from "../../src/client/output-hub";

/** Chunks one after the other, as the daemon sends them. */
function chunks(stream: OutputStreamName, ...texts: readonly string[]): OutputEvent[] {
  let offset = 0;
  return texts.map((written) => {
    const data = Buffer.from(written);
    offset += data.length;
    return { kind: "chunk", stream, offset: BigInt(offset - data.length), data };
  });
}

function gap(stream: OutputStreamName, offset: number, sizeBytes: number): OutputEvent {
  return { kind: "gap", stream, offset: BigInt(offset), sizeBytes: BigInt(sizeBytes) };
}

/** What a macrotask later is still not done will not be. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const later = new Promise((resolve) => setImmediate(resolve, "later"));
  return (await Promise.race([promise.then(() => "done"), later])) === "later";
}

async function publish(hub: OutputHub, events: readonly OutputEvent[]): Promise<void> {
  for (const event of events) await hub.publish(event);
}

async function all(hub: OutputHub): Promise<OutputEvent[]> {
  const events = [];
  for await (const event of hub.reader()) events.push(event);
  return events;
}

function shown(events: readonly OutputEvent[]): string[] {
  return events.map((event) =>
    event.kind === "chunk"
      ? `${event.stream}@${event.offset.toString()} ${Buffer.from(event.data).toString()}`
      : `${event.stream}@${event.offset.toString()} -${event.sizeBytes.toString()}`,
  );
}

it("a reader that comes late has it from the beginning", async () => {
  const hub = new OutputHub(100);
  await publish(hub, chunks("stdout", "one", "two"));
  const reader = hub.reader();
  await publish(hub, [{ kind: "chunk", stream: "stdout", offset: 6n, data: Buffer.from("three") }]);
  hub.end();
  const events = [];
  for await (const event of reader) events.push(event);
  expect(shown(events)).toEqual(["stdout@0 onetwo", "stdout@6 three"]);
});

it("what was not kept is a gap for who comes late, and only for them", async () => {
  const hub = new OutputHub(4);
  const early = hub.reader();
  await publish(hub, chunks("stdout", "one", "two"));
  hub.end();
  expect(shown(await all(hub))).toEqual(["stdout@0 onet", "stdout@4 -2"]);
  const events = [];
  for await (const event of early) events.push(event);
  expect(shown(events)).toEqual(["stdout@0 one", "stdout@3 two"]);
  expect(hub.kept.stdout.toString()).toBe("onet");
  expect(hub.kept.stdout.truncated).toBe(true);
  expect(hub.kept.stderr.truncated).toBe(false);
});

it("gaps of the log are kept in their places", () => {
  const kept = new KeptOutput("stderr", 100);
  kept.add(gap("stderr", 0, 5));
  kept.add({ kind: "chunk", stream: "stderr", offset: 5n, data: Buffer.from("a") });
  kept.add(gap("stderr", 6, 1));
  kept.add({ kind: "chunk", stream: "stderr", offset: 7n, data: Buffer.from("b") });
  expect(shown(kept.replay())).toEqual(["stderr@0 -5", "stderr@5 a", "stderr@6 -1", "stderr@7 b"]);
  expect(kept.toString()).toBe("ab");
  expect(kept.truncated).toBe(true);
});

it("however many gaps there are, no more than so many are noted, and the end is known", () => {
  const kept = new KeptOutput("stdout", 100_000);
  for (let at = 0; at < 10_000; at += 2) {
    kept.add(gap("stdout", at, 1));
    kept.add({ kind: "chunk", stream: "stdout", offset: BigInt(at + 1), data: Buffer.from("x") });
  }
  const replay = kept.replay();
  expect(replay.length).toBeLessThanOrEqual(2_001);
  expect(replay.at(-1)).toMatchObject({ kind: "gap" });
  const last = replay.at(-1);
  expect(last?.kind === "gap" ? last.offset + last.sizeBytes : 0n).toBe(10_000n);
});

it("who does not read holds up who receives; who leaves, no longer", async () => {
  const hub = new OutputHub(0);
  const slow = hub.reader();
  const big = Buffer.alloc(256 * 1024);
  const published = hub.publish({ kind: "chunk", stream: "stdout", offset: 0n, data: big });
  expect(await isPending(published)).toBe(true);
  await slow.next();
  await published;
  const again = hub.publish({ kind: "chunk", stream: "stdout", offset: 0n, data: big });
  expect(await isPending(again)).toBe(true);
  await slow.return();
  await again;
});

it("single bytes hold up as well as large pieces do", async () => {
  const hub = new OutputHub(0);
  hub.reader();
  let published = 0;
  const run = (async () => {
    for (const event of chunks("stdout", ...Array.from({ length: 5_000 }, () => "x"))) {
      await hub.publish(event);
      published++;
    }
  })();
  expect(await isPending(run)).toBe(true);
  expect(published).toBeLessThan(1_100);
  hub.detach(new Error("over"));
  await run;
});

it("a stream that is not wanted holds up nobody", async () => {
  const hub = new OutputHub(0);
  hub.reader(["stdout"]);
  await hub.publish({ kind: "chunk", stream: "stderr", offset: 0n, data: Buffer.alloc(1_000_000) });
});

it("a Node stream that is destroyed before it was read holds up nobody", async () => {
  const hub = new OutputHub(0);
  const stream = toReadable(hub.reader());
  stream.destroy();
  await hub.publish({ kind: "chunk", stream: "stdout", offset: 0n, data: Buffer.alloc(1_000_000) });
});

it("a web stream that is cancelled holds up nobody", async () => {
  const hub = new OutputHub(0);
  await toWebStream(hub.reader()).cancel();
  await hub.publish({ kind: "chunk", stream: "stdout", offset: 0n, data: Buffer.alloc(1_000_000) });
});

it("streams of bytes have all of one stream", async () => {
  const hub = new OutputHub(100);
  await publish(hub, [...chunks("stdout", "a", "b"), ...chunks("stderr", "c")]);
  hub.end();
  expect(await text(toReadable(hub.reader(["stdout"])))).toBe("ab");
  expect(await text(toWebStream(hub.reader(["stderr"])))).toBe("c");
});

it("streams of bytes fail where some is lost", async () => {
  const hub = new OutputHub(100);
  await publish(hub, [...chunks("stdout", "a"), gap("stdout", 1, 2)]);
  hub.end();
  await expect(text(toReadable(hub.reader(["stdout"])))).rejects.toThrow(OutputLostError);
  await expect(text(toWebStream(hub.reader(["stdout"])))).rejects.toThrow("2 bytes of stdout are lost");
});

it("all readers are told what has failed, after what came before", async () => {
  const hub = new OutputHub(100);
  const reader = hub.reader();
  await publish(hub, chunks("stdout", "a"));
  hub.end(new Error("failed"));
  expect((await reader.next()).done).toBe(false);
  await expect(reader.next()).rejects.toThrow("failed");
  expect((await reader.next()).done).toBe(true);
});

it("lines are whole however the bytes are cut, and a last one without newline is one", async () => {
  const hub = new OutputHub(100);
  const bytes = Buffer.from("grün\n\nzwei");
  await publish(
    hub,
    [...bytes].map((byte, at) => ({
      kind: "chunk",
      stream: "stdout",
      offset: BigInt(at),
      data: Buffer.from([byte]),
    })),
  );
  hub.end();
  const lines = [];
  for await (const line of toLines(hub.reader(["stdout"]))) lines.push(line);
  expect(lines).toEqual(["grün", "", "zwei"]);
});

it("a line without end comes in pieces", async () => {
  const hub = new OutputHub(0);
  const reader = toLines(hub.reader(["stdout"]));
  const publishing = (async () => {
    for (let at = 0; at < 24; at++) {
      await hub.publish({ kind: "chunk", stream: "stdout", offset: 0n, data: Buffer.alloc(65_536, "x") });
    }
    hub.end();
  })();
  const lengths = [];
  for await (const line of reader) lengths.push(line.length);
  await publishing;
  expect(lengths.length).toBeGreaterThan(1);
  expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(24 * 65_536);
});
