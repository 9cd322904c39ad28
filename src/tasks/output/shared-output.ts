/**
 * The open logs of one task, shared by all who read them: its descriptors, one look at how far the logs go, and what
 * was read last, which those that keep up with the task all want next.
 *
 * That a log has grown is heard from the host where it tells, and looked for besides: seldom where the host is known to
 * tell, else the more often the shorter ago something came. Nobody looks when nobody waits.
 */
import type { OutputFiles, OutputStreamName, StreamOffsets } from "../ports-output.js";
import type { Bell } from "./bell.js";
import type { Piece } from "./events.js";
import { CHUNK_BYTES, readPieces } from "./read-pieces.js";

/** How long until it is looked again, in milliseconds: just after output has come, and after long silence. */
const LOOK_SOON_MS = 1;
const LOOK_LATE_MS = 20;
/** The same where the host has been found to tell of what comes. */
const LOOK_TOLD_MS = 1_000;

/** To wake one reader, and to send him a few bytes, takes about so long, in milliseconds. All are woken no faster than that. */
const WAKE_MS = 0.1;

/** What is known of the host; of all logs. */
export interface Hearing {
  /** It has told of output before anybody looked. */
  works: boolean;
}

interface LastRead {
  readonly offset: number;
  readonly size: number;
  readonly pieces: Promise<readonly Piece[]>;
}

export class SharedOutput {
  private readonly waiting = new Set<Bell>();
  private readonly last: Record<OutputStreamName, LastRead | undefined> = {
    stdout: undefined,
    stderr: undefined,
  };
  private seen: StreamOffsets = { stdout: 0, stderr: 0 };
  /** The ends that all who wait have known: what is seen beyond them has come for them, whoever has looked. */
  private awaited = this.seen;
  private changed = false;
  private wakeAt = 0;
  private waker: NodeJS.Timeout | undefined;
  private lookTimer: NodeJS.Timeout | undefined;
  private lookMs = LOOK_SOON_MS;
  private readonly unwatch: () => void;

  constructor(
    readonly files: OutputFiles,
    private readonly hearing: Hearing,
  ) {
    this.unwatch = files.watch(() => this.hear());
    this.look();
  }

  /** Offsets of the ends, of bytes that were lost too, as they were seen last. */
  get ends(): StreamOffsets {
    return this.seen;
  }

  /** Sees where the ends are now. */
  look(): void {
    const sizes = { stdout: this.files.size("stdout"), stderr: this.files.size("stderr") };
    // After the sizes: a log that is cut off, because it cannot have holes, has its end on record by then.
    const kept = this.files.kept();
    this.changed = false;
    this.seen = { stdout: Math.max(sizes.stdout, kept.stdout), stderr: Math.max(sizes.stderr, kept.stderr) };
  }

  /** Looks, if the host has told of anything since the last time. */
  lookIfTold(): void {
    if (this.changed) this.look();
  }

  /** As readPieces, up to the end that was seen last. */
  readInto(stream: OutputStreamName, offset: number, bytes: Buffer): Promise<readonly Piece[]> {
    const size = Math.min(bytes.length, this.seen[stream] - offset);
    return readPieces(this.files, stream, offset, bytes.subarray(0, size));
  }

  /** The same of at most one chunk; those who are equally far read it together. */
  read(stream: OutputStreamName, offset: number): Promise<readonly Piece[]> {
    const size = Math.min(CHUNK_BYTES, this.seen[stream] - offset);
    const last = this.last[stream];
    if (last?.offset === offset && last.size === size) return last.pieces;
    const pieces = readPieces(this.files, stream, offset, Buffer.allocUnsafe(size));
    const mine = { offset, size, pieces };
    this.last[stream] = mine;
    pieces.catch(() => {
      if (this.last[stream] === mine) this.last[stream] = undefined;
    });
    return pieces;
  }

  /** The bell of one who has read up to the ends is rung once when one of them has moved further. */
  awaitMore(bell: Bell): void {
    if (this.waiting.size === 0) this.awaited = this.seen;
    this.waiting.add(bell);
    this.lookTimer ??= setTimeout(() => this.lookAgain(), this.lookMs);
  }

  /** The bell is rung no more. */
  leave(bell: Bell): void {
    this.waiting.delete(bell);
  }

  /** To be called when nobody reads any more. */
  close(): void {
    this.unwatch();
    clearTimeout(this.lookTimer);
    clearTimeout(this.waker);
    this.files.close();
  }

  private hear(): void {
    this.changed = true;
    if (this.waiting.size === 0 || this.waker !== undefined) return;
    const pause = this.wakeAt - performance.now();
    if (pause > 0) this.waker = setTimeout(() => this.wakeAsTold(), pause);
    else this.wakeAsTold();
  }

  private wakeAsTold(): void {
    this.waker = undefined;
    if (this.waiting.size === 0 || !this.wakeIfMore()) return;
    this.hearing.works = true;
    this.lookMs = LOOK_TOLD_MS;
  }

  private lookAgain(): void {
    this.lookTimer = undefined;
    if (this.waiting.size === 0) return;
    const wasTold = this.waker !== undefined;
    const slowest = this.hearing.works ? LOOK_TOLD_MS : LOOK_LATE_MS;
    this.lookMs = this.wakeIfMore() && !wasTold ? LOOK_SOON_MS : Math.min(2 * this.lookMs, slowest);
    if (this.waiting.size > 0) this.lookTimer = setTimeout(() => this.lookAgain(), this.lookMs);
  }

  private wakeIfMore(): boolean {
    this.look();
    const { seen, awaited } = this;
    if (seen.stdout <= awaited.stdout && seen.stderr <= awaited.stderr) return false;
    this.wakeAt = performance.now() + this.waiting.size * WAKE_MS;
    for (const bell of this.waiting) bell.ring();
    this.waiting.clear();
    return true;
  }
}
