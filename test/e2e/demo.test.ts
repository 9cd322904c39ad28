/** What `make demo` runs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { cgroupMounts } from "../support/daemon";
import { itRequires } from "../support/requires";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");

interface Ended {
  readonly code: unknown;
  readonly output: string;
  /** Cgroups and temporary files. */
  readonly left: string[];
}

/** Runs the demo; sends it the signal once it has said `after`. */
async function demo(signal?: NodeJS.Signals, after = ""): Promise<Ended> {
  // Temporary files in a directory of its own: what is left there is the demo's.
  const temporary = mkdtempSync(join(tmpdir(), "stockade-demo-test-"));
  const env = { ...process.env, TMPDIR: temporary };
  const child = spawn(STOCKADE, ["demo"], { stdio: ["ignore", "pipe", "inherit"], env });
  let output = "";
  let waiting = signal !== undefined;
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    if (!waiting || !output.includes(after)) return;
    waiting = false;
    child.kill(signal);
  });
  const [code] = (await once(child, "close")) as unknown[];
  const cgroups = cgroupMounts().map((mount) => join(mount, `stockade-demo-${child.pid}`));
  const left = [...cgroups.filter((path) => existsSync(path)), ...readdirSync(temporary)];
  rmSync(temporary, { recursive: true });
  return { code, output, left };
}

it("shows each call with its answer, the output, exit and usage, and leaves nothing", async () => {
  const { code, output, left } = await demo();
  expect(code).toBe(0);
  for (const call of ["Configure", "Limit", "Start", "Wait"]) expect(output).toContain(`> ${call} {`);
  expect(output).toContain("--- stdout\nuser:  uid=");
  expect(output).toContain('"exitCode": 7');
  expect(output).toContain('"cpuUser"');
  expect(output).toMatch(/stopped; nothing is left\n$/);
  expect(left).toEqual([]);
});

itRequires(["root", "cgroups"], "stops a fork bomb once it has forked, and no sooner", async () => {
  const { code, output } = await demo();
  expect(code).toBe(0);
  const [, bomb = ""] = /=== ForceStop of a task that forks\n(.*?)\n===/s.exec(output) ?? [];
  const [, times] = /> Start \{.*\nforked ([0-9]+) times\n.*> ForceStop \{/s.exec(bomb) ?? [];
  expect(Number(times)).toBeGreaterThanOrEqual(40);
  // Two of the fifty that it may have are its shells.
  expect(Number(times)).toBeLessThanOrEqual(48);
  expect(bomb).toContain('"reason": "EXIT_REASON_FORCE_STOPPED"');
});

it.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("that is interrupted by %s takes its daemon and its tasks along", async (signal, status) => {
  const { code, left } = await demo(signal, "> Start {");
  expect(code).toBe(status);
  expect(left).toEqual([]);
});
