/** A task's logs, and of its exit record how much of them is lost: what init writes, open to be read while it does. */
import { constants, readSync, watch } from "node:fs";
import { join } from "node:path";

import type { AtMost } from "../tasks/concurrency/at-most.js";
import type { OutputFiles, OutputStreamName, StreamOffsets } from "../tasks/ports-output.js";
import type { Disk } from "./disk.js";
import { decodeDropped, EXIT_NAME, EXIT_RECORD } from "./exit-record.js";

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const READ = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

const LOG_DIRECTORY = "log";

/** Init's one write takes less than a microsecond: two reads in a row do not both fall into it, nor three. */
const READS = 3;

/** Rejects with Node's error, and then nothing is open. `reads`: what all logs together may have under way. */
export async function openOutputFiles(disk: Disk, directory: string, reads: AtMost): Promise<OutputFiles> {
  const log = join(directory, LOG_DIRECTORY);
  const fds: number[] = [];
  try {
    for (const path of [join(log, "stdout"), join(log, "stderr"), join(directory, EXIT_NAME)]) {
      const fd = await disk.open(path, READ);
      fds.push(fd);
      if (!disk.stat(fd).isFile()) throw new Error("a log, or the exit record, is no regular file");
    }
    const [stdout = -1, stderr = -1, exit = -1] = fds;
    // From now on it is in memory, where it stays as long as it is looked at.
    await disk.read(exit, Buffer.alloc(EXIT_RECORD.SIZE), 0, 0);
    return new OpenOutput(disk, log, reads, { stdout, stderr, exit });
  } catch (error) {
    for (const fd of fds) disk.close(fd);
    throw error;
  }
}

class OpenOutput implements OutputFiles {
  private record = Buffer.alloc(EXIT_RECORD.SIZE);
  private latest = Buffer.alloc(EXIT_RECORD.SIZE);
  /** What `record` says. */
  private dropped: StreamOffsets | undefined;

  constructor(
    private readonly disk: Disk,
    private readonly directory: string,
    private readonly reads: AtMost,
    private readonly fds: Readonly<Record<OutputStreamName | "exit", number>>,
  ) {}

  size(stream: OutputStreamName): number {
    return this.disk.stat(this.fds[stream]).size;
  }

  read(stream: OutputStreamName, offset: number, bytes: Buffer): Promise<number> {
    return this.reads.run(async () => {
      let length = 0;
      while (length < bytes.length) {
        const more = await this.disk.read(this.fds[stream], bytes, length, offset + length);
        if (more === 0) break;
        length += more;
      }
      return length;
    });
  }

  /** At once: the page is in memory, and to hand this to another thread takes twenty times as long. */
  kept(): StreamOffsets {
    for (let reads = 1; reads <= READS; reads++) {
      readSync(this.fds.exit, this.latest, 0, EXIT_RECORD.SIZE, 0);
      // It is written seldom, and the checksum takes longer than all else.
      if (this.dropped !== undefined && this.latest.equals(this.record)) return this.dropped;
      const dropped = decodeDropped(this.latest);
      if (dropped === undefined) continue;
      [this.record, this.latest] = [this.latest, this.record];
      this.dropped = dropped;
      return dropped;
    }
    throw new Error("an exit record cannot be read");
  }

  /** Of the directory: one watch for both logs. Where there can be none nothing is heard. */
  watch(changed: () => void): () => void {
    try {
      const watcher = watch(this.directory, changed);
      watcher.on("error", () => watcher.close());
      return () => watcher.close();
    } catch {
      return () => undefined;
    }
  }

  close(): void {
    for (const fd of Object.values(this.fds)) this.disk.close(fd);
  }
}
