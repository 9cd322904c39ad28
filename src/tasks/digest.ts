/** One digest for all values that say the same: whatever the order of a map's entries, and in every version of the daemon. */
import { createHash } from "node:crypto";

import { turns } from "./concurrency/fair-turns.js";

/** How much is hashed, and how many keys are sorted, between two looks at the clock. */
const PIECE_LENGTH = 32_768;
const RUN_LENGTH = 512;

/**
 * SHA-256, in hex, of strings, numbers, booleans, bytes, and lists, maps and objects of them. A field of an object that
 * is undefined, false or empty is as one that is not there: so what a later daemon adds changes no digest where it is
 * not asked for. A large value takes several turns of the event loop.
 */
export async function digestOf(value: unknown): Promise<string> {
  const hash = createHash("sha256");
  let text = "";
  for (const piece of piecesOf(value)) {
    text += piece;
    if (piece !== PAUSE && text.length < PIECE_LENGTH) continue;
    // Of UTF-16 each half of a character has bytes of its own, wherever it is cut.
    hash.update(text, "utf16le");
    text = "";
    await turns.enter();
  }
  return hash.update(text, "utf16le").digest("hex");
}

/** Says nothing: a place to look at the clock. */
const PAUSE = "";

function* piecesOf(value: unknown): Generator<string, void> {
  if (typeof value === "string") {
    yield `s${value.length}:`;
    yield* slicesOf(value.length, (start, end) => value.slice(start, end));
  } else if (value instanceof Uint8Array) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    yield `b${bytes.length}:`;
    yield* slicesOf(bytes.length, (start, end) => bytes.toString("latin1", start, end));
  } else if (Array.isArray(value)) {
    yield `[${value.length}:`;
    for (const item of value) yield* piecesOf(item);
  } else if (value instanceof Map) {
    yield `{${value.size}:`;
    for (const key of yield* sorted([...(value as ReadonlyMap<string, unknown>).keys()])) {
      yield* piecesOf(key);
      yield* piecesOf(value.get(key));
    }
  } else if (typeof value === "object" && value !== null) {
    const given = Object.entries(value).filter(([, field]) => !isNotThere(field));
    yield `(${given.length}:`;
    for (const [name, field] of given.sort(([one], [other]) => (one < other ? -1 : 1))) {
      yield* piecesOf(name);
      yield* piecesOf(field);
    }
  } else {
    yield `${typeof value}:${String(value)};`;
  }
}

function isNotThere(field: unknown): boolean {
  if (field === undefined || field === false || field === "") return true;
  if (field instanceof Map) return field.size === 0;
  return (Array.isArray(field) || field instanceof Uint8Array) && field.length === 0;
}

function* slicesOf(length: number, slice: (start: number, end: number) => string): Generator<string, void> {
  for (let start = 0; start < length; start += PIECE_LENGTH) yield slice(start, start + PIECE_LENGTH);
}

function* sorted(keys: readonly string[]): Generator<string, readonly string[]> {
  if (keys.length <= RUN_LENGTH) {
    yield PAUSE;
    return keys.toSorted();
  }
  const half = keys.length >> 1;
  const low = yield* sorted(keys.slice(0, half));
  const high = yield* sorted(keys.slice(half));
  return yield* merged(low, high);
}

function* merged(low: readonly string[], high: readonly string[]): Generator<string, readonly string[]> {
  const keys: string[] = [];
  let ofLow = 0;
  let ofHigh = 0;
  for (;;) {
    const [one, other] = [low[ofLow], high[ofHigh]];
    if (one === undefined) return [...keys, ...high.slice(ofHigh)];
    if (other === undefined) return [...keys, ...low.slice(ofLow)];
    keys.push(one < other ? one : other);
    if (one < other) ofLow++;
    else ofHigh++;
    if (keys.length % (8 * RUN_LENGTH) === 0) yield PAUSE;
  }
}
