/** The bench runs, and says something of everything that it is to measure. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";

import { ATTACKS } from "../../bench/hostile/attacks";
import { itRequires } from "../support/requires";

const ROOT = resolve(__dirname, "../..");

interface Row {
  readonly key: string;
  readonly value?: number;
  readonly skipped?: string;
}

/** Peers that need not be installed. */
const PEERS = ["bwrap_p50", "bwrap_p99", "crun_p50", "crun_p99", "cycle_per_crun", "runc_p50", "runc_p99"];

const HOSTILE = Object.keys(ATTACKS).flatMap((attack) =>
  ["idle_p50", "p50", "idle_p99", "p99", "times", "turn", "memory", "descriptors"].map(
    (figure) => `hostile_${attack}_${figure}`,
  ),
);

/** Rows whose figure may be none: a count, and differences that a daemon's own coming and going can outweigh. */
const MAY_BE_NONE = [
  "turns_too_long",
  "idle_pss",
  "recovery_s",
  ...HOSTILE.filter((key) => key.endsWith("memory")),
];

itRequires(["root", "cgroups"], "the quick bench writes a figure for each row", async () => {
  await promisify(execFile)("make", ["bench", "BENCH_ARGS=--quick"], { cwd: ROOT });
  const { rows } = JSON.parse(readFileSync(resolve(ROOT, "dist/bench.json"), "utf8")) as { rows: Row[] };
  expect(rows.map(({ key }) => key)).toEqual([
    ...["floor_p50", "floor_p99", "call_p50", "call_p99", "cycle_p50", "cycle_p99"],
    ...["configure_p50", "start_p50", "wait_p50", "cycle_ratio", "cycle_ratio_p10"],
    ...["run_p50", "run_p99", "run_ratio"],
    ...PEERS,
    ...["tasks_per_second_1", "tasks_per_second_8", "tasks_per_second_32"],
    ...["turn_longest", "turn_longest_with_gc", "turn_longest_gc_free", "turns_too_long"],
    ...["stall_longest", "stall_longest_bare"],
    ...["bare_stream", "bare_stream_wide", "log_stream", "log_stream_times"],
    ...["bare_followers", "log_followers", "log_followers_times", "first_byte_p50"],
    ...HOSTILE,
    ...["idle_pss", "idle_pss_inits", "idle_charged"],
    ...["start_s", "recovery_s"],
  ]);
  const without = rows
    .filter(
      ({ key, skipped }) => !MAY_BE_NONE.includes(key) && !(PEERS.includes(key) && skipped !== undefined),
    )
    .filter(({ value }) => value === undefined || !(value > 0));
  expect(without).toEqual([]);
});
