/** What a daemon holds at one moment, counted from outside it, but for its heap. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { childrenOf } from "./processes.js";

/** A count of each metric; those that this host does not have are left out. */
export type Sample = Readonly<Record<string, number>>;

export interface Sampled {
  readonly pid: number;
  /** With `state` and `alloc` in it. */
  readonly directory: string;
  /** Of the daemon's cgroup root, in each hierarchy. */
  readonly cgroupDirs: readonly string[];
  /** The file that heap-preload.ts writes. */
  readonly heapFile: string;
}

/** How long the daemon may take to say how large its heap is, in milliseconds. */
const HEAP_MS = 10_000;
const LOOK_MS = 5;

export class Sampler {
  private asked = 0;

  constructor(private readonly of: Sampled) {}

  /** To be called while no task is alive. */
  async take(): Promise<Sample> {
    const { pid, directory, cgroupDirs } = this.of;
    const [launcher] = await childrenOf(pid);
    if (launcher === undefined) throw new Error("the launcher does not run");
    const heap = await this.heapBytes();
    const [daemonStatus, launcherStatus] = await Promise.all([statusOf(pid), statusOf(launcher)]);
    const state = await treeOf(join(directory, "state"));
    const dying = await dyingCgroups(cgroupDirs);
    return {
      daemon_heap_bytes: heap,
      daemon_rss_bytes: daemonStatus.rss,
      daemon_threads: daemonStatus.threads,
      daemon_descriptors: await countOf(`/proc/${pid}/fd`),
      launcher_rss_bytes: launcherStatus.rss,
      launcher_descriptors: await countOf(`/proc/${launcher}/fd`),
      launcher_children: (await childrenOf(launcher)).length,
      state_entries: state.entries,
      state_bytes: state.bytes,
      alloc_entries: await countOf(join(directory, "alloc")),
      cgroups: (await Promise.all(cgroupDirs.map(cgroupsBelow))).reduce((sum, count) => sum + count, 0),
      ...(dying === undefined ? {} : { dying_cgroups: dying }),
    };
  }

  private async heapBytes(): Promise<number> {
    const { pid, heapFile } = this.of;
    this.asked++;
    process.kill(pid, "SIGUSR2");
    const end = performance.now() + HEAP_MS;
    while (performance.now() < end) {
      await sleep(LOOK_MS);
      const text = await readFile(heapFile, "utf8").catch(() => "{}");
      const said = JSON.parse(text) as { readonly asked?: number; readonly bytes?: number };
      if (said.asked === this.asked && said.bytes !== undefined) return said.bytes;
    }
    throw new Error("the daemon does not say how large its heap is");
  }
}

async function statusOf(pid: number): Promise<{ readonly rss: number; readonly threads: number }> {
  const text = await readFile(`/proc/${pid}/status`, "utf8");
  return {
    rss: Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024,
    threads: Number(/^Threads:\s+(\d+)$/m.exec(text)?.[1]),
  };
}

async function countOf(directory: string): Promise<number> {
  return (await readdir(directory)).length;
}

/** What is removed while it is counted counts no more. */
async function treeOf(directory: string): Promise<{ readonly entries: number; readonly bytes: number }> {
  let [entries, bytes] = [0, 0];
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true }).catch(() => [])) {
    entries++;
    const found = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
    if (found?.isFile() === true) bytes += found.size;
  }
  return { entries, bytes };
}

async function cgroupsBelow(directory: string): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).length;
}

/** Those that have been removed, and that the kernel still holds; v2 counts them. */
async function dyingCgroups(directories: readonly string[]): Promise<number | undefined> {
  for (const directory of directories) {
    const text = await readFile(join(directory, "cgroup.stat"), "utf8").catch(() => "");
    const dying = /^nr_dying_descendants (\d+)$/m.exec(text)?.[1];
    if (dying !== undefined) return Number(dying);
  }
  return undefined;
}
