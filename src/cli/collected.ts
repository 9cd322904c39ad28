/** What is taken from a task that has ended, and written beside whoever ran it. */
import type { TaskFile } from "../client/index.js";
import type { Context } from "./context.js";
import { destinationOf, writeLocalFile } from "./local-files.js";
import { printable } from "./printable.js";
import { UsageError } from "./usage-error.js";
import { write } from "./write.js";

/** As much of each file is collected, unless it is said. */
export const COLLECT_DEFAULT = "64m";

export interface Collecting {
  /** Paths in the task, and where each goes. */
  readonly destinations: ReadonlyMap<string, string>;
  readonly overwrite: boolean;
}

/** Of TASKPATH and TASKPATH:PATH, looked at before anything runs. Throws a UsageError. */
export async function toCollecting(typed: readonly string[], overwrite: boolean): Promise<Collecting> {
  const destinations = new Map<string, string>();
  for (const entry of typed) {
    const [, from, to = "./"] = /^(\/[^:]*[^:/])(?::(.+))?$/.exec(entry) ?? [];
    if (from === undefined) throw new UsageError(`--collect takes TASKPATH or TASKPATH:PATH: '${entry}'`);
    const path = await destinationOf(from, to, overwrite);
    if (destinations.has(from) || [...destinations.values()].includes(path)) {
      throw new UsageError(`--collect has '${destinations.has(from) ? from : path}' twice`);
    }
    destinations.set(from, path);
  }
  return { destinations, overwrite };
}

/** Answers whether all is there, and whole; what is not is said. */
export async function writeCollected(
  files: readonly TaskFile[],
  { destinations, overwrite }: Collecting,
  { stderr }: Context,
): Promise<boolean> {
  let whole = true;
  const complain = async (words: string): Promise<void> => {
    whole = false;
    await write(stderr, `stockade: ${printable(words)}\n`);
  };
  for (const file of files) {
    if (file.content === undefined) {
      await complain(`'${file.path}' is not collected: ${REASONS[file.error] ?? file.error}`);
      continue;
    }
    const path = destinations.get(file.path);
    if (path !== undefined) await writeLocalFile(path, file, overwrite);
    if (!file.truncated) continue;
    const { length } = file.content;
    await complain(
      `of '${file.path}' only ${length} of ${file.sizeBytes} bytes are collected; see --collect-max`,
    );
  }
  return whole;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "it is not there",
  EISDIR: "it is a directory",
  ELOOP: "it is a link",
  EACCES: "the task's user may not read it",
  ENOSPC: "the daemon's host has no room for a copy",
  ESTALE: "it was removed with the task's record",
};
