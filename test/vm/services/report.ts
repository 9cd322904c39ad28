/** What is said to the machine's host, over the serial line that is standard output: a line a check. */
import { writeSync } from "node:fs";

import { notes, save } from "./notes";

export function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** One claim, and what shows that it holds. Where it does not, the others are tried all the same. */
export async function check(claim: string, holds: () => Promise<void> | void): Promise<void> {
  const begun = Date.now();
  notes.checks++;
  let failed: unknown;
  try {
    await holds();
  } catch (error) {
    failed = error ?? new Error("thrown without a word");
  }
  save();
  const took = ((Date.now() - begun) / 1000).toFixed(1);
  say(`${failed === undefined ? "ok" : "not ok"} ${notes.checks} - ${claim} # ${took} s`);
  if (failed === undefined) return;
  const text = failed instanceof Error ? (failed.stack ?? failed.message) : JSON.stringify(failed);
  for (const line of text.split("\n")) say(`# ${line}`);
}
