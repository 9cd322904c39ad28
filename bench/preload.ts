/**
 * Required by Node before a program of its own: fills the heap, and notes garbage collections and how late a
 * timer comes. Says it at the exit in the file that STOCKADE_BENCH_LOOP names. STOCKADE_BENCH_HEAP: bytes.
 */
import { writeFileSync } from "node:fs";
import { PerformanceObserver, type PerformanceEntry } from "node:perf_hooks";

import type { LoopRecord } from "./loop-record.js";

/** How often the timer comes, in milliseconds. */
const TICK_MS = 5;

const file = process.env["STOCKADE_BENCH_LOOP"];
if (file !== undefined) record(file, Number(process.env["STOCKADE_BENCH_HEAP"]));

function record(path: string, heapBytes: number): void {
  const heap = fill(heapBytes);
  const originNs = Number(process.hrtime.bigint()) - performance.now() * 1e6;
  const toNs = (ms: number): number => Math.round(originNs + ms * 1e6);
  const collections: LoopRecord["collections"] = [];
  const stalls: LoopRecord["stalls"] = [];
  const note = (entries: readonly PerformanceEntry[]): void => {
    for (const { startTime, duration } of entries)
      collections.push({ beginNs: toNs(startTime), endNs: toNs(startTime + duration) });
  };
  const observer = new PerformanceObserver((list) => note(list.getEntries()));
  observer.observe({ entryTypes: ["gc"] });
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    stalls.push({ atNs: toNs(now), ms: now - last - TICK_MS });
    last = now;
  }, TICK_MS).unref();
  process.on("exit", () => {
    note(observer.takeRecords());
    writeFileSync(path, JSON.stringify({ heapObjects: heap.length, collections, stalls }));
  });
}

/** Small objects, as a program's own: what garbage collection has to walk. */
function fill(bytes: number): unknown[] {
  const heap: unknown[] = [];
  for (let index = 0; process.memoryUsage().heapUsed < bytes;) {
    for (const end = index + 10_000; index < end; index++) heap.push({ index, text: `object ${index}` });
  }
  return heap;
}
