/** What a process holds at most while something is done to it: memory and descriptors. */
import { readdir, readFile, writeFile } from "node:fs/promises";

/** How often descriptors are counted, in milliseconds. */
const LOOK_MS = 200;

export interface Footprint {
  /** Peak of the resident set, less what it was before. */
  readonly grownBytes: number;
  readonly descriptors: number;
}

export class FootprintWatch {
  private descriptors = 0;
  private readonly timer: NodeJS.Timeout;

  private constructor(
    private readonly pid: number,
    private readonly before: number,
  ) {
    this.timer = setInterval(() => void this.look().catch(() => undefined), LOOK_MS);
  }

  static async begin(pid: number): Promise<FootprintWatch> {
    // proc_pid_clear_refs(5): the peak is from now on.
    await writeFile(`/proc/${pid}/clear_refs`, "5");
    return new FootprintWatch(pid, await peakOf(pid));
  }

  async end(): Promise<Footprint> {
    clearInterval(this.timer);
    await this.look();
    return { grownBytes: (await peakOf(this.pid)) - this.before, descriptors: this.descriptors };
  }

  private async look(): Promise<void> {
    const { length } = await readdir(`/proc/${this.pid}/fd`);
    this.descriptors = Math.max(this.descriptors, length);
  }
}

async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
