/** Watches how long the turns of a daemon's event loop are, in CPU time: a busy host makes none of them longer. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { parseTurns } from "../../bench/loop-record";
import { Scratch } from "./task-files";

const SOURCE = resolve(__dirname, "../../bench/turns.c");

export class Turns implements Disposable {
  private readonly scratch = new Scratch();
  private readonly library = join(this.scratch.path, "turns.so");
  private readonly file = join(this.scratch.path, "turns");

  constructor() {
    execFileSync("gcc", ["-O2", "-fPIC", "-shared", "-o", this.library, SOURCE]);
    this.forget();
  }

  /** For the daemon. */
  get env(): NodeJS.ProcessEnv {
    return { ...process.env, LD_PRELOAD: this.library, STOCKADE_BENCH_TURNS: this.file };
  }

  forget(): void {
    writeFileSync(this.file, "");
  }

  /** Of all since they were forgotten, in milliseconds. */
  longestMs(): number {
    const turns = parseTurns(readFileSync(this.file, "utf8"));
    return Math.max(0, ...turns.map(({ cpuNs }) => cpuNs)) / 1e6;
  }

  [Symbol.dispose](): void {
    this.scratch[Symbol.dispose]();
  }
}
