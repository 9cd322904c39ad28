import type { OutputStreamName } from "../ports-output.js";
import { CHUNK_BYTES } from "./read-pieces.js";

/** How many readers may have one: together they take 32 MiB. */
const LANES = 32;

/** How many are kept for the next readers. */
const KEPT = 4;

const BLOCK_BYTES = 4 * CHUNK_BYTES;

/** Two blocks: one is read into while the other is sent. */
class Blocks {
  private readonly blocks: Buffer[] = [];

  /** The one that is not being sent. */
  next(): Buffer {
    const [first = Buffer.allocUnsafeSlow(BLOCK_BYTES), second = Buffer.allocUnsafeSlow(BLOCK_BYTES)] =
      this.blocks;
    this.blocks.splice(0, 2, second, first);
    return first;
  }
}

/** The memory of one who is far behind, for each stream. */
export type Lane = Readonly<Record<OutputStreamName, Blocks>>;

/**
 * Who is far behind is sent what he lacks the faster the more is read for him at one time, and ahead. Of those there
 * are few; the others, and all who stop on the way, hold little.
 */
export class FastLanes {
  private taken = 0;
  private readonly free: Lane[] = [];

  /** Undefined: there is none left. */
  take(): Lane | undefined {
    if (this.taken === LANES) return undefined;
    this.taken++;
    return this.free.pop() ?? { stdout: new Blocks(), stderr: new Blocks() };
  }

  giveBack(lane: Lane): void {
    this.taken--;
    if (this.free.length < KEPT) this.free.push(lane);
  }
}
