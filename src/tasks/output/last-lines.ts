import type { OutputFiles, OutputStreamName } from "../ports-output.js";
import { CHUNK_BYTES } from "./read-pieces.js";

const NEWLINE = 0x0a;

/**
 * The offset at which the last so many lines before `end` begin; what follows the last newline is one of them. 0, where
 * fewer are kept: what is lost is then a part of what was asked for.
 * @param giveUp throws where nobody wants to know any more
 */
export async function lastLinesOffset(
  files: OutputFiles,
  stream: OutputStreamName,
  end: number,
  lines: number,
  giveUp: () => void,
): Promise<number> {
  if (lines === 0) return end;
  // The newline that ends the last line begins no other.
  let before = end - 1;
  let left = lines;
  const bytes = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end));
  while (before > 0) {
    giveUp();
    const from = Math.max(0, before - CHUNK_BYTES);
    const block = bytes.subarray(0, before - from);
    const size = await files.read(stream, from, block);
    const lost = files.kept()[stream] - from;
    for (let at = size - 1; at >= 0 && at >= lost; at--) {
      if (block[at] === NEWLINE && --left === 0) return from + at + 1;
    }
    if (lost > 0) return 0;
    before = from;
  }
  return 0;
}
