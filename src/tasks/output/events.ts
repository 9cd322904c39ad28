import type { Exit } from "../exit.js";
import type { OutputStreamName, StreamOffsets } from "../ports-output.js";
import type { Heartbeat } from "./heartbeats.js";

/** A stretch of a task's output, or one that the log has lost. `data` is as it is until the next event is asked for. */
export type Piece =
  | {
      readonly kind: "chunk";
      readonly stream: OutputStreamName;
      readonly offset: number;
      readonly data: Buffer;
    }
  | {
      readonly kind: "gap";
      readonly stream: OutputStreamName;
      readonly offset: number;
      readonly size: number;
    };

/** What a reader of a task's output is told. */
export type LogEvent =
  | Piece
  | { readonly kind: "begin"; readonly offsets: StreamOffsets }
  | Heartbeat
  | { readonly kind: "exit"; readonly exit: Exit };
