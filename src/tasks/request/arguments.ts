import { ARG_BYTES_MAX, ARG_OVERHEAD_BYTES, ARGUMENTS_BYTES_MAX, argumentsTooLong } from "./exec-limits.js";
import { interpolate } from "./interpolate.js";
import type { CommandInput } from "./spec.js";
import { replaceWord } from "./words.js";

/** A command's words with its variables replaced. Throws a HelperFault (EXEC, E2BIG) as exec would. */
export function commandArguments(command: CommandInput, env: ReadonlyMap<string, string>): readonly string[] {
  const words: string[] = [];
  let bytes = 0;
  for (const word of eachArgument(command, env)) {
    // The kernel counts bytes, and a character can be four.
    const size = Buffer.byteLength(word);
    bytes += size + ARG_OVERHEAD_BYTES;
    if (size >= ARG_BYTES_MAX || bytes > ARGUMENTS_BYTES_MAX) throw argumentsTooLong();
    words.push(word);
  }
  return words;
}

function* eachArgument(command: CommandInput, env: ReadonlyMap<string, string>): Iterable<string> {
  if (command.kind === "line") {
    for (const word of command.words) yield replaceWord(word, env);
    return;
  }
  yield command.program;
  for (const arg of command.args) yield interpolate(arg, env);
}
