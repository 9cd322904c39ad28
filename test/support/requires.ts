/**
 * Tests that need something of their host. Where a need is not met the test is skipped, and its name says what
 * was lacking. With CI=true that is a failure, unless test/skips.json allows it for this kind of host.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

import skips from "../skips.json";

/** Where CI puts them, from the top of the repository. */
export const PYTHON_PACKAGES = ".cache/python";

/** What a host may lack, each with the shell command that finds out by trying. */
export const PROBES = {
  root: 'test "$(id -u)" = 0',
  "plain-user": 'test "$(id -u)" != 0',
  userns: "unshare --user --map-root-user --mount mount -t tmpfs none /mnt",
  subids: "unshare --user --map-auto true",
  "no-subids": "! unshare --user --map-auto true",
  cgroups:
    'cd /sys/fs/cgroup/memory || cd /sys/fs/cgroup; test -e cgroup.procs && mkdir "probe-$$" && rmdir "probe-$$"',
  "cgroup-v1": "test -e /sys/fs/cgroup/memory/tasks",
  "cgroup-v2": "grep -w memory /sys/fs/cgroup/cgroup.controllers",
  "cgroup-descendants": 'test -e "$(findmnt -nfo TARGET -t cgroup2)/cgroup.max.descendants"',
  "v1-freezer": "test -e /sys/fs/cgroup/freezer/tasks",
  "sys-resource": "ulimit -n 64 && ulimit -Hn 65",
  bfq: "grep '\\[bfq\\]' /sys/block/*/queue/scheduler",
  ptrace: "test $((0x$(sed -n 's/^CapEff:.//p' /proc/self/status) >> 19 & 1)) = 1",
  "core-dumps": "grep '^[^|/]' /proc/sys/kernel/core_pattern",
  guest: 'test "$STOCKADE_GUEST" = 1',
  go: "command -v go",
  grpcurl: "command -v grpcurl",
  "grpcio-tools": `PYTHONPATH=${PYTHON_PACKAGES} python3 -c 'import grpc, grpc_tools'`,
} as const;

export type NeedName = keyof typeof PROBES;

/** What only one test file needs, and has found out itself: never on the list of skips. */
export interface Need {
  /** In words, for the test's name. */
  readonly what: string;
  readonly met: boolean;
}

/** How much slower than an idle machine this one is; the tests' timeouts are stretched by it. */
export const SLOW = Number(process.env["STOCKADE_TEST_SLOW"] ?? 1);

/** A test that runs where all its needs are met. */
export function itRequires(
  needs: Need | NeedName | readonly (Need | NeedName)[],
  name: string,
  fn: () => Promise<void>,
  timeoutMs?: number,
): void {
  const lacking = [needs]
    .flat()
    .filter((need) => !(typeof need === "string" ? has(need) : need.met))
    .map((need) => (typeof need === "string" ? need : need.what));
  const forbidden = lacking.filter((need) => process.env["CI"] === "true" && !maySkip(need));
  if (forbidden.length > 0) {
    it(name, () => {
      throw new Error(
        `this host lacks ${forbidden.join(", ")}, and test/skips.json does not allow that for ${JSON.stringify(HOST)}`,
      );
    });
  } else if (lacking.length > 0) {
    it.skip(`${name} [needs: ${lacking.join(", ")}]`, fn);
  } else {
    it(name, fn, timeoutMs === undefined ? undefined : timeoutMs * SLOW);
  }
}

/** The kind of host that this is, in the words of test/skips.json. */
export const HOST = {
  user: process.geteuid?.() === 0 ? "root" : "plain",
  cgroups: cgroupMode(),
  /** The machine of test/vm. */
  guest: process.env["STOCKADE_GUEST"] === "1",
  /** Whether there is what CI installs grpcurl with. */
  get go() {
    return has("go");
  },
};

const found = new Map<NeedName, boolean>();

/** Whether the host has it: tried once. */
export function has(need: NeedName): boolean {
  const known = found.get(need);
  if (known !== undefined) return known;
  let met = true;
  try {
    execFileSync("sh", ["-c", PROBES[need]], { stdio: "ignore" });
  } catch {
    met = false;
  }
  found.set(need, met);
  return met;
}

function cgroupMode(): "v2" | "hybrid" | "v1" | "none" {
  const v1 = existsSync("/sys/fs/cgroup/memory/tasks");
  const v2 = readFileSync("/proc/self/mountinfo", "utf8").includes(" - cgroup2 ");
  if (v1) return v2 ? "hybrid" : "v1";
  return v2 ? "v2" : "none";
}

/** An entry allows a skip on each host that has all the properties which it names. */
function maySkip(need: string): boolean {
  const here: Record<string, unknown> = HOST;
  return skips.some(
    (skip) => skip.need === need && Object.entries(skip.host).every(([key, value]) => here[key] === value),
  );
}
