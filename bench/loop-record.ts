/** What preload.ts writes of a process: times are nanoseconds of the monotonic clock, which all processes share. */

export interface Span {
  readonly beginNs: number;
  readonly endNs: number;
}

export interface LoopRecord {
  readonly collections: Span[];
  /** How much later than it should a timer came. */
  readonly stalls: { readonly atNs: number; readonly ms: number }[];
}

/** A turn of the event loop, as turns.c has written it. */
export interface Turn extends Span {
  readonly cpuNs: number;
}

export function parseTurns(text: string): Turn[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [beginNs, endNs, cpuNs] = line.split(" ").map(Number) as [number, number, number];
      return { beginNs, endNs, cpuNs };
    });
}

export function isWithin(inner: Span, outer: Span): boolean {
  return inner.beginNs >= outer.beginNs && inner.endNs <= outer.endNs;
}

/** How much of a span these cover, where they overlap each other counted once. They are sorted by their begin. */
export function coveredNs(span: Span, covers: readonly Span[]): number {
  let covered = 0;
  let from = span.beginNs;
  for (const { beginNs, endNs } of covers) {
    if (beginNs >= span.endNs) break;
    const to = Math.min(endNs, span.endNs);
    from = Math.max(from, beginNs);
    if (to <= from) continue;
    covered += to - from;
    from = to;
  }
  return covered;
}
