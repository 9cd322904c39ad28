/** A listing of as many records as are kept, by the real server and a client with gRPC's own limits. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { StockadeClient } from "../../src/client";
import { RpcServer } from "../../src/rpc/server";
import { TaskStore } from "../../src/store/task-store";
import { Executor, type ExecutorParts } from "../../src/tasks/executor";
import type { TaskRecord } from "../../src/tasks/ports";
import type { ServerInfoSource } from "../../src/tasks/server-info";
import { uuid7 } from "../../src/tasks/uuid";
import { exitOf, KeptLog, recordOf } from "../store/support";

const COUNT = 10_000;

/** As many as a task may have, and as large. */
const LARGE = new Map(
  Array.from({ length: 64 }, (_, index) => [`${index}`.padEnd(128, "k"), "é".repeat(128)]),
);
const USUAL = new Map([["team", "blue"]]);

function ended(index: number): TaskRecord {
  const uuid = uuid7(1_700_000_000_000 + (index >> 2));
  // Of large ones a quarter: sixty megabytes.
  return recordOf(uuid, {
    labels: index % 4 === 0 ? LARGE : USUAL,
    exit: exitOf({ exitedNs: BigInt(Date.now()) * 1_000_000n }),
  });
}

let directory: string;
let server: RpcServer;
let client: StockadeClient;
let records: readonly TaskRecord[];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "stockade-list-"));
  records = Array.from({ length: COUNT }, (_, index) => ended(index)).sort((one, other) =>
    one.uuid < other.uuid ? -1 : 1,
  );
  const log = new KeptLog();
  const store = new TaskStore(directory, log);
  // Records of an earlier daemon, without the time that ten thousand files take.
  store.load = () => Promise.resolve({ records, newer: [], unreadable: [] });
  const executor = new Executor({
    records: store,
    log,
    sandboxes: { killStrays: () => Promise.resolve() },
    unenforced: [],
    retention: { endedTtlMs: 3_600_000, endedMaxRecords: COUNT, maxTasks: 1 },
    removeAllocDirs: false,
    allowedPaths: [],
    bootId: "b",
  } as unknown as ExecutorParts);
  await executor.recover();
  const info: ServerInfoSource = { read: () => Promise.reject(new Error("not asked for")) };
  server = new RpcServer({
    executor,
    info,
    log,
    connectionsMax: 1,
    callsMax: 16,
    keepaliveMs: 60_000,
    streamsMax: 1,
    access: undefined,
  });
  const address = `unix:${directory}/socket`;
  await server.listenLocally({ path: `${directory}/socket` });
  client = new StockadeClient(address);
}, 120_000);

afterAll(async () => {
  client?.close();
  await server?.stop(0);
  rmSync(directory, { recursive: true, force: true });
});

it("each is told of once, in their order, and no page is larger than a message may be", async () => {
  const ids: string[] = [];
  for await (const { id } of client.listAll({ pageSize: 1000 })) ids.push(id);
  expect(ids).toEqual(records.map(({ id }) => id));
});

it("a thousand that are small are one page", async () => {
  const { tasks } = await client.list({ pageSize: 1000, labels: { team: "blue" } });
  expect(tasks).toHaveLength(1000);
});

it("what is told is what is on record", async () => {
  const { tasks } = await client.list({ pageSize: 4 });
  for (const [index, task] of tasks.entries()) {
    const { id, allocId, taskName, labels } = records[index] ?? ended(0);
    expect(task).toMatchObject({ id, allocId, taskName, labels });
    expect(task.exit?.reason).toBeDefined();
  }
});

it("listings that look at all of them leave the event loop to others on the way", async () => {
  let turns = 0;
  let watching = true;
  const watch = (): void => {
    turns += 1;
    if (watching) setImmediate(watch);
  };
  setImmediate(watch);
  const none = { labels: { team: "none" } };
  const pages = await Promise.all(Array.from({ length: 8 }, () => client.list(none)));
  watching = false;
  for (const page of pages) expect(page).toEqual({ tasks: [], nextPageToken: "" });
  expect(turns).toBeGreaterThan(5);
});
