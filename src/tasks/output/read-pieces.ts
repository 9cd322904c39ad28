import { TaskError } from "../errors.js";
import type { OutputFiles, OutputStreamName } from "../ports-output.js";
import type { Piece } from "./events.js";

/** Most bytes of a chunk. Larger ones make a stream no faster, and cost more memory. */
export const CHUNK_BYTES = 65_536;

/**
 * What the log has from `offset` on, as far as `bytes` has room for it and lies in it afterwards, or the first part of that, where the next begins where it ends: what
 * is lost of it comes first, and may reach further. Rejects with a TaskError where the log is shorter than it was.
 */
export async function readPieces(
  files: OutputFiles,
  stream: OutputStreamName,
  offset: number,
  bytes: Buffer,
): Promise<readonly Piece[]> {
  const data = bytes.subarray(0, await files.read(stream, offset, bytes));
  // After the bytes: of those that were lost while they were read this knows.
  const lost = Math.max(0, files.kept()[stream] - offset);
  const pieces: Piece[] = [];
  if (lost > 0) pieces.push({ kind: "gap", stream, offset, size: lost });
  for (let at = lost; at < data.length; at += CHUNK_BYTES) {
    pieces.push({
      kind: "chunk",
      stream,
      offset: offset + at,
      data: data.subarray(at, at + CHUNK_BYTES),
    });
  }
  if (pieces.length === 0) {
    throw new TaskError({ reason: "LOG_GONE", message: `the task's log is cut off before byte ${offset}` });
  }
  return pieces;
}

/** The offset that follows a piece. */
export function endOf(piece: Piece): number {
  return piece.offset + (piece.kind === "gap" ? piece.size : piece.data.length);
}
