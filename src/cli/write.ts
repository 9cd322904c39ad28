/** Writing to those who may read slowly, or have gone. */
import type { Writable } from "node:stream";

import type { LogEvent } from "../client/index.js";
import type { Context } from "./context.js";
import { OUTPUT_TRUNCATED } from "./exit-status.js";

/** Resolves when there is room for more, or when nobody reads any more. */
export async function write(stream: Writable, data: Uint8Array | string): Promise<void> {
  if (stream.destroyed || stream.write(data)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      for (const name of ["drain", "close", "error"]) stream.off(name, done);
      resolve();
    };
    for (const name of ["drain", "close", "error"]) stream.on(name, done);
  });
}

/** A task's output goes through as it is; that some is lost is said beside it. */
export async function writeOutput(event: LogEvent, { stdout, stderr }: Context): Promise<void> {
  if (event.kind === "chunk") await write(event.stream === "stdout" ? stdout : stderr, event.data);
  const missing = missingInWords(event);
  if (missing !== undefined) await write(stderr, `stockade: ${missing}\n`);
}

function missingInWords(event: LogEvent): string | undefined {
  if (event.kind === "exit" && event.exit.outputTruncated) return OUTPUT_TRUNCATED;
  if (event.kind !== "gap") return undefined;
  return `${event.sizeBytes} bytes of ${event.stream} are lost, from byte ${event.offset} on`;
}
