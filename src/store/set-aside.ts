/** Where what no record can be read of is kept, for people to look at: nothing in it is ever overwritten or removed. */
import { lstat, mkdir, rename } from "node:fs/promises";
import { join } from "node:path";

import { Mutex } from "../tasks/concurrency/mutex.js";
import { codeOf } from "./disk.js";

export class SetAside {
  /** One by one: a name that is free must still be so when it is taken. No other daemon has this directory. */
  private readonly moves = new Mutex();

  constructor(private readonly directory: string) {}

  /** Moves what is at `path`, whole; resolves to its new name: `name`, or that with a number where it is taken. */
  take(path: string, name: string): Promise<string> {
    return this.moves.run(async () => {
      await this.makeDirectory();
      const free = await this.freeName(name);
      await rename(path, this.pathOf(free));
      return free;
    });
  }

  /** Of what is there under that name. */
  pathOf(name: string): string {
    return join(this.directory, name);
  }

  /** Through a link, things would go who knows where. */
  private async makeDirectory(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    if (!(await lstat(this.directory)).isDirectory()) throw new Error(`${this.directory} is no directory`);
  }

  private async freeName(name: string): Promise<string> {
    for (let number = 0; ; number++) {
      const candidate = number === 0 ? name : `${name}.${number}`;
      if (!(await isThere(this.pathOf(candidate)))) return candidate;
    }
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}
