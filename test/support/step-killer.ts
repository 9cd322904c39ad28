/** Kills a daemon, its launcher or both at one of the daemon's steps; test/fixtures/kill-at-step.c has the protocol. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

import { TO_LAUNCHER } from "../../src/host/helper/protocol";
import type { TestDaemon } from "./daemon";

export const VICTIMS = ["daemon", "launcher", "both"] as const;
export type Victim = (typeof VICTIMS)[number];
export type When = "before" | "after";

/** Where to kill whom: at the nth of a step, from 1, before it is made or after. */
export interface KillPoint {
  readonly step: string;
  readonly nth: number;
  readonly victim: Victim;
  readonly when: When;
}

const SOURCE = resolve(__dirname, "../fixtures/kill-at-step.c");
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const ANY_UUID = "?".repeat(36);
/** A daemon's directory and cgroup root. */
type Places = readonly [string, string];

const MESSAGES = new Map(Object.entries(TO_LAUNCHER).map(([name, number]) => [String(number), name]));

/** Compiles what is preloaded into a directory; answers its path. */
export function compileStepKiller(directory: string): string {
  const path = resolve(directory, "kill-at-step.so");
  const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"];
  execFileSync("gcc", [...flags, "-o", path, SOURCE]);
  return path;
}

/** That of one daemon. */
export class StepKiller {
  private series = 0;
  private victim: Victim | undefined;
  private places: Places = ["", ""];

  /**
   * @param library what `compileStepKiller` has made
   * @param orders a path of its own
   */
  constructor(
    private readonly library: string,
    private readonly orders: string,
  ) {}

  /** For the daemon. */
  get env(): NodeJS.ProcessEnv {
    // What the kernel does in a ring, no library sees.
    return { ...process.env, LD_PRELOAD: this.library, STOCKADE_KILL_AT: this.orders, UV_USE_IO_URING: "0" };
  }

  /** Counts the daemon's steps from now on, and kills at one of them if a point is given. */
  arm(daemon: TestDaemon, point?: KillPoint): void {
    const places = [daemon.daemon.directory, daemon.cgroupRoot] as const;
    const wanted =
      point === undefined
        ? ["-", "-", 0, "- -"]
        : [point.victim, point.when, point.nth, patternOf(point.step, places)];
    this.places = places;
    this.victim = point?.victim;
    const order = [++this.series, ...places, ...wanted].join(" ");
    // Renamed: it is read by each call that may be a step.
    writeFileSync(`${this.orders}.new`, `${order}\n`);
    renameSync(`${this.orders}.new`, this.orders);
  }

  /** Whether it is a victim of the point that was armed last. */
  kills(process: "daemon" | "launcher"): boolean {
    return this.victim === process || this.victim === "both";
  }

  /** Counts no more, and forgets what has been counted. */
  disarm(): void {
    rmSync(this.orders, { force: true });
    this.series++;
    this.victim = undefined;
  }

  /** Those that have been counted since, in their order. */
  steps(): readonly string[] {
    return this.lines().map((line) => stepOf(line.replace(/^kill /, ""), this.places));
  }

  /** The step that was killed at; undefined: there was none. */
  killedAt(): string | undefined {
    const line = this.lines().find((text) => text.startsWith("kill "));
    return line === undefined ? undefined : stepOf(line.slice("kill ".length), this.places);
  }

  private lines(): readonly string[] {
    const file = `${this.orders}.${this.series}`;
    return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
  }
}

/** What a line says, the same for each task of each daemon: "send CREATE", "rename <directory>/state/tasks/<uuid>/record". */
function stepOf(line: string, [directory, root]: Places): string {
  const message = /^send (\d+)$/.exec(line)?.[1];
  if (message !== undefined) return `send ${MESSAGES.get(message) ?? message}`;
  return line.replaceAll(directory, "<directory>").replaceAll(root, "<root>").replaceAll(UUID, "<uuid>");
}

/** The call, and a pattern of fnmatch(3). */
function patternOf(step: string, [directory, root]: Places): string {
  const message = /^send (\w+)$/.exec(step)?.[1];
  if (message !== undefined) return `send ${TO_LAUNCHER[message as keyof typeof TO_LAUNCHER]}`;
  return step.replaceAll("<directory>", directory).replaceAll("<root>", root).replaceAll("<uuid>", ANY_UUID);
}
