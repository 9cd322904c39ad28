/** The bench runs, and says something of everything that it is to measure. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";

import { itRequires } from "../support/requires";

const ROOT = resolve(__dirname, "../..");

interface Row {
  readonly key: string;
  readonly value?: number;
  readonly skipped?: string;
}

itRequires(["root", "cgroups"], "the quick bench writes a figure for each row", async () => {
  await promisify(execFile)("make", ["bench", "BENCH_ARGS=--quick"], { cwd: ROOT });
  const { rows } = JSON.parse(readFileSync(resolve(ROOT, "dist/bench.json"), "utf8")) as { rows: Row[] };
  const keys = rows.map(({ key }) => key);
  expect(keys).toEqual(expect.arrayContaining(["floor_p50", "call_p50", "cycle_p50", "cycle_ratio"]));
  expect(new Set(keys).size).toBe(keys.length);
  for (const { key, value, skipped } of rows) {
    expect({ key, there: skipped !== undefined || (value !== undefined && value >= 0) }).toEqual({
      key,
      there: true,
    });
  }
});
