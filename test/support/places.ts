/** Places in which daemons started by hand live: directories, cgroup root and socket that nobody else uses. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { cgroupMounts } from "./daemon";
import { removeCgroups } from "./remove-cgroups";
import { Scratch } from "./task-files";

export interface Place {
  readonly state: string;
  readonly alloc: string;
  readonly cgroupRoot: string;
  readonly address: string;
}

let rooms = 0;

/** Those of one test file; gone at its end, whatever has become of their daemons. */
export class Places implements AsyncDisposable {
  readonly scratch = new Scratch();
  private readonly prefix = `/stockade-test-${process.pid}-place-${rooms++}`;
  private readonly made: Place[] = [];

  fresh(): Place {
    const number = this.made.length;
    const directory = join(this.scratch.path, String(number));
    mkdirSync(directory, { mode: 0o700 });
    const place = {
      state: join(directory, "state"),
      alloc: join(directory, "alloc"),
      cgroupRoot: `${this.prefix}-${number}`,
      address: `unix:${join(directory, "sock")}`,
    };
    this.made.push(place);
    return place;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { cgroupRoot } of this.made) await removeCgroups(cgroupMounts(), cgroupRoot);
    this.scratch[Symbol.dispose]();
  }
}

/** The flags of a daemon there. */
export function flagsOf({ state, alloc, cgroupRoot, address }: Place): string[] {
  return [
    ["--listen", address],
    ["--state-dir", state],
    ["--alloc-dir", alloc],
    ["--cgroup-root", cgroupRoot],
  ].flat();
}

/** The same, with a configuration file. */
export function flagsWith(place: Place, config: Record<string, unknown>): string[] {
  const file = join(place.state, "../config.json");
  writeFileSync(file, JSON.stringify(config));
  return [...flagsOf(place), "--config", file];
}

/** Of a daemon whose end is its tasks'. */
export function flagsEndingTasks(place: Place): string[] {
  return flagsWith(place, { end_tasks_on_stop: true });
}

/** The cgroup root's directories on this host, in each hierarchy. */
export function cgroupRoots({ cgroupRoot }: Place): string[] {
  return cgroupMounts()
    .map((mount) => join(mount, cgroupRoot))
    .filter((path) => existsSync(path));
}
