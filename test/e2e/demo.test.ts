/** What `make demo` runs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { cgroupMounts, descendants } from "../support/daemon";
import { LIMIT_NAMES } from "../support/limit-names";
import { has, itRequires } from "../support/requires";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");

/** How often is looked for processes below the demo, in milliseconds. */
const LOOK_MS = 10;

interface Ended {
  readonly code: unknown;
  readonly output: string;
  /** Every process that was seen below it: daemon, launcher, inits, commands and what they forked. */
  readonly seen: ReadonlySet<string>;
  /** Cgroups, temporary files, mounts, and those processes. */
  readonly left: string[];
}

/** The limits that are not in force here, which the answer to Limit must say. */
const UNENFORCED = LIMIT_NAMES.filter((name) => !has("cgroups") || (name === "io_weight" && !has("bfq")));

interface Shown {
  readonly id?: string;
  readonly resources?: Readonly<Record<string, string>>;
  readonly effective?: Readonly<Record<string, string>>;
  readonly unenforced?: readonly { readonly name: string; readonly reason: string }[];
}

/** The request of the first such call, and its answer. */
function firstIn(output: string, call: string): [Shown, Shown] {
  const [, ...shown] = new RegExp(`^> ${call} (\\{.*?^\\})\n(\\{.*?^\\})$`, "ms").exec(output) ?? [];
  const [request = {}, answer = {}] = shown.map((json) => JSON.parse(json) as Shown);
  return [request, answer];
}

/** Those that the answer names, each with a reason. */
function namesOf({ unenforced = [] }: Shown): string[] {
  expect(unenforced.filter(({ reason }) => reason === "")).toEqual([]);
  return unenforced.map(({ name }) => name);
}

const inJson = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** A process by what no other has: its pid and when it was started. undefined: it is a zombie, or has gone. */
function identify(pid: number): string | undefined {
  try {
    const [state, ...fields] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return state === "Z" ? undefined : `process ${pid} of ${fields[18]}`;
  } catch {
    return undefined;
  }
}

/** Runs the demo; sends it the signal once it has said `after`. */
async function demo(signal?: NodeJS.Signals, after = ""): Promise<Ended> {
  // Temporary files in a directory of its own: what is left there is the demo's.
  const temporary = mkdtempSync(join(tmpdir(), "stockade-demo-test-"));
  const env = { ...process.env, TMPDIR: temporary };
  const child = spawn(STOCKADE, ["demo"], { stdio: ["ignore", "pipe", "inherit"], env });
  let output = "";
  let waiting = signal !== undefined;
  const seen = new Map<string, number>();
  const look = setInterval(() => {
    for (const pid of descendants(child.pid ?? 0)) {
      const process = identify(pid);
      if (process !== undefined) seen.set(process, pid);
    }
  }, LOOK_MS);
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    if (!waiting || !output.includes(after)) return;
    waiting = false;
    child.kill(signal);
  });
  const [code] = (await once(child, "close")) as unknown[];
  clearInterval(look);
  const alive = [...seen].filter(([process, pid]) => identify(pid) === process).map(([process]) => process);
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const cgroups = cgroupMounts().map((mount) => join(mount, `stockade-demo-${child.pid}`));
  const left = [
    ...cgroups.filter((path) => existsSync(path)),
    ...readdirSync(temporary),
    ...mounts.filter((line) => line.includes(temporary)),
    ...alive,
  ];
  rmSync(temporary, { recursive: true });
  return { code, output, seen: new Set(seen.keys()), left };
}

it("shows each call with its answer, the output, exit and usage, and leaves nothing", async () => {
  const { code, output, seen, left } = await demo();
  expect(code).toBe(0);
  for (const call of ["Configure", "Limit", "Start", "Wait", "Shutdown", "Open"])
    expect(output).toContain(`> ${call} {`);
  const [, { id, ...configured }] = firstIn(output, "Configure");
  expect(id).toMatch(has("cgroups") ? /^CGROUP:\// : /^PID:[0-9]+:/);
  expect(namesOf(configured).includes("cgroup")).toBe(!has("cgroups"));
  const [{ resources }, limited] = firstIn(output, "Limit");
  expect(Object.keys(resources ?? {}).sort()).toEqual(LIMIT_NAMES.map(inJson).sort());
  expect(namesOf(limited)).toEqual(UNENFORCED);
  const enforced = LIMIT_NAMES.filter((name) => !UNENFORCED.includes(name)).map(inJson);
  expect(Object.keys(limited.effective ?? {}).sort()).toEqual(enforced.sort());
  expect(output).toContain("--- stdout\nuser:  uid=");
  expect(output).toContain('"exitCode": 7');
  expect(output).toContain('"cpuUser"');
  expect(output).toMatch(/\$ stockade run .*\nhello from .*\n\(exit status 3\)\n/);
  for (const verb of ["info", "run -d", "ps", "stop", "wait", "rm"])
    expect(output).toMatch(new RegExp(`^\\$ stockade ${verb}\\b`, "m"));
  expect(output).toMatch(/\$ stockade inspect .*sleeper\n(\S+ .*\n)*state +running\n/);
  expect(output).toMatch(/\$ stockade logs -f hello\nhello from /);
  // What a program says that fails for a reason of its own, as a verb that is not used right does.
  expect(output).not.toContain("(exit status 125)");
  expect(output).toMatch(/stopped; nothing is left\n$/);
  // Daemon, launcher, an init and its command at the least.
  expect(seen.size).toBeGreaterThanOrEqual(4);
  expect(left).toEqual([]);
});

itRequires(["root", "cgroups"], "shows how the kernel ends a task for want of memory", async () => {
  const { output } = await demo();
  const [, oom = ""] = /=== a task that runs out of memory\n(.*?)\n===/s.exec(output) ?? [];
  const [, wait = ""] = /> Wait \{(.*)$/s.exec(oom) ?? [];
  expect(wait).toContain('"reason": "EXIT_REASON_OOM_KILLED"');
  expect(wait).toContain('"oomKilled": true');
  expect(wait).toContain('"signal": 9');
});

itRequires(["root", "cgroups"], "stops a fork bomb once it has forked, and no sooner", async () => {
  const { code, output } = await demo();
  expect(code).toBe(0);
  const [, bomb = ""] = /=== ForceStop of a task that forks\n(.*?)\n===/s.exec(output) ?? [];
  const [, times] = /> Start \{.*\nforked ([0-9]+) times\n.*> ForceStop \{/s.exec(bomb) ?? [];
  expect(Number(times)).toBeGreaterThanOrEqual(40);
  // Two of the fifty that it may have are its shells.
  expect(Number(times)).toBeLessThanOrEqual(48);
  const [, stop = ""] = /> ForceStop \{(.*)$/s.exec(bomb) ?? [];
  expect(stop).toContain('"reason": "EXIT_REASON_FORCE_STOPPED"');
});

it.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("that is interrupted by %s takes its daemon and its tasks along", async (signal, status) => {
  const { code, seen, left } = await demo(signal, "> Start {");
  expect(code).toBe(status);
  expect(seen.size).toBeGreaterThanOrEqual(4);
  expect(left).toEqual([]);
});
