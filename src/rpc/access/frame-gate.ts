/**
 * Stands between a connection and HTTP/2, which would do all that it is sent within one turn of the event loop: some
 * thousand calls are in what is read at once. Here they are let through a few at a time.
 */
import { Duplex } from "node:stream";
import type { Socket } from "node:net";

import type { Share, Sliced, Slices } from "./slices.js";

/** RFC 9113, 3.4: what a client says first. */
const PREFACE_BYTES = 24;

/** RFC 9113, 4.1. */
const HEAD_BYTES = 9;
const DATA = 0;

/** So many frames that are no data are let through at one time; each may begin a call. */
const FRAMES = 2;

/** And so many bytes: what a message of a usual size has. */
const BYTES = 65_536;

/** With so much to be let through no more is read. */
const WAITING_BYTES = 65_536;

/** How many calls of a connection that has gone are ended at one time. */
const ENDED = 4;

/** Whose connection it is. */
export interface Owner {
  readonly share: Share;
  /** Ends so many of its calls, as of one who has gone. False: there are no more. */
  endCalls(count: number): boolean;
}

export class FrameGate extends Duplex implements Sliced {
  private waiting: Buffer = Buffer.alloc(0);
  /** How much of what comes next belongs to a frame that has been let through in part. */
  private restBytes = PREFACE_BYTES;
  private state: "open" | "ended" | "gone" = "open";

  constructor(
    private readonly socket: Socket,
    private readonly slices: Slices,
    private readonly owner: Owner,
  ) {
    super({ allowHalfOpen: true });
    socket.on("data", (chunk: Buffer) => {
      this.waiting = this.waiting.length === 0 ? chunk : Buffer.concat([this.waiting, chunk]);
      if (this.waiting.length >= WAITING_BYTES) socket.pause();
      this.slices.enter(this);
    });
    socket.once("end", () => this.over("ended"));
    socket.once("close", () => this.over("gone"));
    socket.on("error", () => undefined);
    // As HTTP/2 has it: an answer in two parts would wait for the client to confirm the first.
    socket.setNoDelay();
    socket.pause();
  }

  get share(): Share {
    return this.owner.share;
  }

  pass(): boolean {
    if (this.destroyed) return false;
    const some = this.waiting.subarray(0, this.slice());
    if (some.length === 0) return this.goOn();
    this.waiting = this.waiting.subarray(some.length);
    const wanted = this.push(some);
    if (this.state !== "open") return true;
    if (wanted && this.waiting.length < WAITING_BYTES) this.socket.resume();
    return wanted && this.waiting.length > 0;
  }

  override _read(): void {
    if (this.waiting.length > 0) this.slices.enter(this);
    else if (this.state === "open") this.socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.socket.write(chunk, done);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    // TLS would put them together, too, but not before each had been through the socket by itself.
    this.socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: () => void): void {
    this.socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.waiting = Buffer.alloc(0);
    // What HTTP/2 has ended for a reason of its own is over for the client, too.
    this.state = "gone";
    this.socket.destroy();
    done(error);
  }

  /** Nothing that waits can be let through now. */
  private goOn(): boolean {
    if (this.state === "open") {
      this.socket.resume();
      return false;
    }
    // HTTP/2 would end all of them at once.
    if (this.owner.endCalls(ENDED)) return true;
    if (this.state === "ended") this.push(null);
    else this.destroy();
    return false;
  }

  private over(state: "ended" | "gone"): void {
    if (state === "gone") this.waiting = Buffer.alloc(0);
    this.state = state;
    this.slices.enter(this);
  }

  /** How many of the waiting bytes are to be let through now; frames are let through in part, too. */
  private slice(): number {
    const { waiting } = this;
    let end = Math.min(this.restBytes, waiting.length);
    this.restBytes -= end;
    for (let frames = 0; frames < FRAMES && end < BYTES && end + HEAD_BYTES <= waiting.length;) {
      const frameEnd = end + HEAD_BYTES + waiting.readUIntBE(end, 3);
      if (waiting[end + 3] !== DATA) frames++;
      end = Math.min(frameEnd, waiting.length);
      this.restBytes = frameEnd - end;
    }
    return end;
  }
}
