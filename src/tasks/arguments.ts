import { interpolate } from "./interpolate.js";
import { HelperFault } from "./ports.js";
import type { CommandInput } from "./spec.js";
import { eachWord } from "./words.js";

/**
 * More bytes of arguments than the kernel executes, whatever its limits: three quarters of
 * _STK_LIM, 8 MiB. Source: execve(2), "Limits on size of arguments and environment".
 */
const ARGUMENTS_BYTES_MAX = 6 * 2 ** 20;

/**
 * A command's words with its variables replaced. Throws a HelperFault (EXEC, E2BIG) as exec would:
 * a request of a few bytes for each word must not become as much memory as it likes.
 */
export function commandArguments(command: CommandInput, env: ReadonlyMap<string, string>): readonly string[] {
  const words: string[] = [];
  let bytes = 0;
  for (const word of eachArgument(command, env)) {
    bytes += word.length + 1;
    if (bytes > ARGUMENTS_BYTES_MAX) {
      throw new HelperFault({ step: "EXEC", errno: "E2BIG", index: 0 });
    }
    words.push(word);
  }
  return words;
}

function* eachArgument(command: CommandInput, env: ReadonlyMap<string, string>): Iterable<string> {
  if (command.kind === "line") {
    yield* eachWord(command.line, env);
    return;
  }
  yield command.program;
  for (const arg of command.args) yield interpolate(arg, env);
}
