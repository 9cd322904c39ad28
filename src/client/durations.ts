/** Spans of time, as people write them and as the API has them. */
import type { Duration } from "../gen/google/protobuf/duration.js";

/** Milliseconds, or a number with its unit: "500ms", "10s", "1.5m", "2h", and several in a row: "1m30s". */
export type TimeSpan = number | string;

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const PARTS = /(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h|d)/gy;

/** Milliseconds. Throws a TypeError that names `field`. */
export function parseTimeSpan(span: TimeSpan, field: string): number {
  const ms = typeof span === "number" ? span : sumOf(span);
  if (ms === undefined || !Number.isFinite(ms) || ms < 0) {
    const ways = "a number with ms, s, m, h or d, as 1m30s";
    throw new TypeError(
      typeof span === "number"
        ? `${field} must be milliseconds, or ${ways}: ${span}`
        : `${field} must be ${ways}: ${JSON.stringify(span)}`,
    );
  }
  return ms;
}

function sumOf(text: string): number | undefined {
  const parts = [...text.matchAll(PARTS)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text) return undefined;
  return parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (UNIT_MS[unit] ?? NaN), 0);
}

/** As messages have it. */
export function toDuration(ms: number): Duration {
  const seconds = Math.floor(ms / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1_000) * 1e6) };
}

/** In milliseconds. */
export function toMs({ seconds, nanos }: Duration): number {
  return Number(seconds) * 1_000 + nanos / 1e6;
}
