import type { LimitName } from "../../tasks/limits.js";
import { errorCode, isGone, readText, writeText } from "./files.js";
import { LimitRefused } from "../../tasks/ports.js";

/** Writes of cgroup files that can be taken back, so that a request's limits are set all or none. */
export class Changes {
  readonly #done: { readonly path: string; readonly old: string }[] = [];

  /**
   * Writes a value, remembering the one before. Rejects with a LimitRefused when the kernel
   * refuses it, with the kernel's own error when the cgroup is gone.
   *
   * `forEmpty` is what to write back where the file was empty.
   */
  async write(limit: LimitName, path: string, value: string, forEmpty = ""): Promise<void> {
    const old = firstLine(await readText(path)) || forEmpty;
    if (old === value) return;
    try {
      await writeText(path, value);
    } catch (error) {
      const errno = errorCode(error);
      if (errno === undefined || isGone(error)) throw error;
      throw new LimitRefused(limit, errno, { cause: error });
    }
    this.#done.push({ path, old });
  }

  /** Writes the earlier values back, the last change first. Goes on after a failure; rejects with the first. */
  async undo(): Promise<void> {
    const failures: unknown[] = [];
    for (const { path, old } of this.#done.reverse()) {
      try {
        // write(2) of nothing does not reach the kernel's handler: an empty cpuset is a newline.
        await writeText(path, old === "" ? "\n" : old);
      } catch (error) {
        if (!isGone(error)) failures.push(error);
      }
    }
    this.#done.length = 0;
    if (failures.length > 0) throw failures[0];
  }
}

/** What is to be written back: weight files list devices after the default ("default 100\n8:0 200"). */
function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}
