/** Processes of this host, from /proc. */
import { readdir, readFile } from "node:fs/promises";

export async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  const lists = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, "utf8")),
  );
  return lists.flatMap((list) => list.split(" ").filter(Boolean).map(Number));
}

/** The memory of processes, in bytes, where a page of several counts by its share (PSS). */
export async function proportionalBytes(pids: readonly number[]): Promise<number> {
  const texts = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/smaps_rollup`, "utf8")));
  return texts
    .map((text) => Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024)
    .reduce((sum, bytes) => sum + bytes, 0);
}
