import { TaskError } from "../errors.js";
import type { OutputStore } from "../ports-output.js";
import { FastLanes } from "./fast-lanes.js";
import { SharedOutput, type Hearing } from "./shared-output.js";

interface Opened {
  readers: number;
  readonly output: Promise<SharedOutput>;
}

/** The logs that are being read, each opened once, and closed when nobody reads it any more. */
export class SharedOutputs {
  private readonly opened = new Map<string, Opened>();
  private readonly hearing: Hearing = { works: false };
  readonly lanes = new FastLanes();

  constructor(private readonly store: OutputStore) {}

  /** To be given back. Rejects with a TaskError where the log has gone, or cannot be opened for want of something. */
  async take(uuid: string): Promise<SharedOutput> {
    const opened = this.opened.get(uuid) ?? { readers: 0, output: this.open(uuid) };
    this.opened.set(uuid, opened);
    opened.readers++;
    try {
      return await opened.output;
    } catch (error) {
      if (this.opened.get(uuid) === opened) this.opened.delete(uuid);
      throw asLogError(error);
    }
  }

  giveBack(uuid: string): void {
    const opened = this.opened.get(uuid);
    if (opened === undefined || --opened.readers > 0) return;
    this.opened.delete(uuid);
    void opened.output.then((output) => output.close());
  }

  private async open(uuid: string): Promise<SharedOutput> {
    return new SharedOutput(await this.store.openOutput(uuid), this.hearing);
  }
}

const SHORTAGES: readonly unknown[] = ["EMFILE", "ENFILE", "ENOMEM"];

function asLogError(cause: unknown): unknown {
  const { code } = cause as { readonly code?: unknown };
  if (code === "ENOENT") {
    return new TaskError({ reason: "LOG_GONE", message: "the task's log is not there any more", cause });
  }
  if (!SHORTAGES.includes(code)) return cause;
  return new TaskError({
    reason: "HOST_EXHAUSTED",
    message: `cannot open the task's log: ${String(code)}`,
    metadata: { errno: String(code) },
    cause,
  });
}
