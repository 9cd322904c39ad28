/** What Logs streams, beside what bare grpc-js does in the same run, and how soon it sends what a task has just written. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

import { Client, credentials } from "@grpc/grpc-js";

import { CHANNEL_OPTIONS } from "../src/client/channel-options.js";
import type { StockadeClient } from "../src/client/index.js";
import { BARE_STREAM } from "./bare-stream-service.js";
import { freshTask } from "./cycle.js";
import { percentile, repeat } from "./measure.js";
import { FIRST_BYTE_MAX_MS, STREAM_MAX_TIMES, type BenchOptions } from "./options.js";
import type { Resources } from "./resources.js";
import type { Row } from "./rows.js";

export async function measureLogs(options: BenchOptions, resources: Resources): Promise<Row[]> {
  const { logBytes, logRounds, logFollowers, firstBytes } = options;
  const { client } = await resources.daemon({ config: { log_bytes: logBytes } });
  const bare = await BareStream.start(resources);
  const id = await started(client, `head -c ${logBytes} /dev/zero | tr '\\0' x`);
  await client.wait(id);
  const share = Math.floor(logBytes / logFollowers);
  const rates = await ratesOf(
    {
      bare: () => bare.read(logBytes),
      bareWide: () => bare.read(logBytes, "wide"),
      logs: () => readAll(client, id),
      bareTogether: () => bare.readTogether(logFollowers, share),
      together: () => followTogether(client, logFollowers, share),
    },
    logRounds,
  );
  return [
    ...rowsOf(rates, logFollowers),
    {
      key: "first_byte_p50",
      what: "from a write until its follower has it, p50",
      value: percentile(await firstByteMs(client, firstBytes), 50),
      unit: "ms",
      target: FIRST_BYTE_MAX_MS,
    },
  ];
}

/** MB/s of each, p50. All of them in turn: a busy moment hits all. */
async function ratesOf<Name extends string>(
  reads: Readonly<Record<Name, () => Promise<number>>>,
  rounds: number,
): Promise<Record<Name, number>> {
  const samples = (Object.keys(reads) as Name[]).map((name): [Name, number[]] => [name, []]);
  // Once before anything is measured.
  await repeat(rounds + 1, async () => {
    for (const [name, rates] of samples) rates.push(await rateOf(reads[name]));
  });
  const p50s = samples.map(([name, rates]) => [name, percentile(rates.slice(1), 50)]);
  return Object.fromEntries(p50s) as Record<Name, number>;
}

type Rates = Readonly<Record<"bare" | "bareWide" | "logs" | "bareTogether" | "together", number>>;

function rowsOf({ bare, bareWide, logs, bareTogether, together }: Rates, followers: number): Row[] {
  const rate = (key: string, what: string, value: number): Row => ({ key, what, value, unit: "MB/s" });
  const times = (key: string, what: string, value: number): Row => {
    return { key, what, value, unit: "times", target: STREAM_MAX_TIMES };
  };
  return [
    rate("bare_stream", "bare grpc-js stream, p50", bare),
    rate("bare_stream_wide", "  with the SDK's channel options, p50", bareWide),
    rate("log_stream", "log stream, p50", logs),
    times("log_stream_times", "  the faster bare stream is faster by", Math.max(bare, bareWide) / logs),
    rate("bare_followers", `${followers} bare streams together, p50`, bareTogether),
    rate("log_followers", `${followers} followers of one task, together, p50`, together),
    times("log_followers_times", "  the bare streams are faster by", bareTogether / together),
  ];
}

/** MB/s of what answers how many bytes have come. */
async function rateOf(read: () => Promise<number>): Promise<number> {
  const begin = performance.now();
  const bytes = await read();
  return bytes / 1e3 / (performance.now() - begin);
}

async function started(client: StockadeClient, script: string): Promise<string> {
  const { id } = await client.configure({ ...freshTask(), command: "/bin/sh", args: ["-c", script] });
  await client.start(id);
  return id;
}

/** From a task's first byte to its end, if there is one; resolves with how many there were. */
async function readAll(client: StockadeClient, id: string, follow = false): Promise<number> {
  let bytes = 0;
  for await (const event of client.logs(id, { follow })) {
    if (event.kind === "chunk") bytes += event.data.length;
  }
  return bytes;
}

/** A task that writes so many bytes while all of them follow it. */
async function followTogether(client: StockadeClient, followers: number, bytes: number): Promise<number> {
  const { id } = await client.configure({
    ...freshTask(),
    command: "/bin/sh",
    args: ["-c", `head -c ${bytes} /dev/zero`],
  });
  const read = Array.from({ length: followers }, () => readAll(client, id, true));
  await client.start(id);
  return (await Promise.all(read)).reduce((sum, one) => sum + one, 0);
}

/** A task that tells the time; the differences to when it is heard, in milliseconds. */
async function firstByteMs(client: StockadeClient, count: number): Promise<number[]> {
  const id = await started(client, `for i in $(seq ${count}); do sleep 0.05; date +%s%N; done`);
  const samples: number[] = [];
  for await (const event of client.logs(id, { streams: ["stdout"], follow: true })) {
    if (event.kind !== "chunk") continue;
    const now = performance.timeOrigin + performance.now();
    samples.push(now - Number(Buffer.from(event.data).toString().trim()) / 1e6);
  }
  return samples;
}

/** grpc-js's own options, or the SDK's, whose window is wider. */
type Channel = "plain" | "wide";

/** bare-stream.ts as a process of its own, as the daemon is one. */
class BareStream {
  private constructor(private readonly clients: Readonly<Record<Channel, Client>>) {}

  static async start(resources: Resources): Promise<BareStream> {
    const address = `unix:${join(await resources.directory(), "sock")}`;
    const server = spawn(process.execPath, [join(__dirname, "bare-stream.js"), address], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await resources.add(() => server.kill());
    await once(server.stdout, "data");
    const clients = {
      plain: new Client(address, credentials.createInsecure()),
      wide: new Client(address, credentials.createInsecure(), CHANNEL_OPTIONS),
    };
    for (const client of Object.values(clients)) await resources.add(() => client.close());
    return new BareStream(clients);
  }

  async read(bytes: number, channel: Channel = "plain"): Promise<number> {
    const asked = Buffer.alloc(8);
    asked.writeBigUInt64LE(BigInt(bytes));
    const { path, requestSerialize, responseDeserialize } = BARE_STREAM;
    const call = this.clients[channel].makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      asked,
    );
    let read = 0;
    for await (const chunk of call as AsyncIterable<Buffer>) read += chunk.length;
    return read;
  }

  /** The sum of as many at once. */
  async readTogether(streams: number, bytes: number): Promise<number> {
    const read = Array.from({ length: streams }, () => this.read(bytes, "wide"));
    return (await Promise.all(read)).reduce((sum, one) => sum + one, 0);
  }
}
