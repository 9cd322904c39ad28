/** What one boot of the machine leaves to the next. */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";

const FILE = "/var/lib/services.json";

export interface Kept {
  readonly id: string;
  /** Of init and command: others have these pids after a boot. */
  readonly pids: readonly number[];
  /** When Start was called and when it had answered, in milliseconds since the epoch. */
  readonly started?: readonly [number, number];
}

export interface Notes {
  /** What the next boot goes on with. */
  next: "services" | "after-reboot" | "after-power-cut";
  checks: number;
  /** How often the power has been cut. */
  cuts: number;
  /** What ends the names of the tasks that were left last. */
  suffix: string;
  /** Tasks by what they are there for. */
  tasks: Record<string, Kept>;
}

export const notes: Notes = existsSync(FILE)
  ? (JSON.parse(readFileSync(FILE, "utf8")) as Notes)
  : { next: "services", checks: 0, cuts: 0, suffix: "", tasks: {} };

/** On the disk when it returns. */
export function save(): void {
  const fd = openSync(`${FILE}.new`, "w");
  writeSync(fd, JSON.stringify(notes));
  fsyncSync(fd);
  closeSync(fd);
  renameSync(`${FILE}.new`, FILE);
  const directory = openSync("/var/lib", "r");
  fsyncSync(directory);
  closeSync(directory);
}
