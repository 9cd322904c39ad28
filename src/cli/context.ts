import type { Readable, Writable } from "node:stream";

import type { StockadeClient } from "../client/index.js";

/** What a verb has to do with: its daemon, and where it writes. */
export interface Context {
  readonly client: StockadeClient;
  /** Where the daemon is, for people. */
  readonly host: string;
  /** Of this program: what of it a task gets is asked for by name. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Asked for by those alone who read it: to look at a terminal's is to hold the program. */
  readonly stdin: () => Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Whether stdout is a terminal whose reader wants colour. */
  readonly colour: boolean;
}

/** One verb of `stockade`. */
export interface Verb {
  /** After "usage: stockade ". */
  readonly synopsis: string;
  readonly summary: string;
  /** What `--help` says of its flags. */
  readonly help: string;
  /** Answers the exit status. Throws a UsageError, or what the client throws. */
  run(argv: readonly string[], context: Context): Promise<number>;
}
