import { existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { TaskStore } from "../../src/store/task-store";
import { KeptLog, stateDirectory, UUID_A } from "./support";

const made = stateDirectory();

let store: TaskStore;

beforeEach(() => {
  store = new TaskStore(made.tasks, new KeptLog());
  mkdirSync(join(made.tasks, UUID_A), { mode: 0o700 });
});

async function read(path: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of store.readCollected(path)) {
    expect(piece.length).toBeLessThanOrEqual(65_536);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

it("has room for each file of a task, which nobody but the daemon can enter", async () => {
  const one = await store.roomForCollected(UUID_A);
  const two = await store.roomForCollected(UUID_A);
  expect(one).not.toBe(two);
  expect([existsSync(one), existsSync(two)]).toEqual([false, false]);
  expect(statSync(join(one, "..")).mode & 0o777).toBe(0o700);
  await store.remove(UUID_A);
  expect(existsSync(join(made.tasks, UUID_A))).toBe(false);
});

it("has none for a task whose record has gone, and makes none", async () => {
  await store.remove(UUID_A);
  await expect(store.roomForCollected(UUID_A)).rejects.toMatchObject({ code: "ENOENT" });
  expect(existsSync(join(made.tasks, UUID_A))).toBe(false);
});

it("reads what is there in pieces, and removes it", async () => {
  const path = await store.roomForCollected(UUID_A);
  const content = Buffer.alloc(200_001, "abc");
  writeFileSync(path, content);
  expect((await read(path)).equals(content)).toBe(true);
  await store.removeCollected(path);
  await store.removeCollected(path);
  expect(existsSync(path)).toBe(false);
});

it("follows no link", async () => {
  const path = await store.roomForCollected(UUID_A);
  symlinkSync("/etc/passwd", path);
  await expect(read(path)).rejects.toMatchObject({ code: "ELOOP" });
});
