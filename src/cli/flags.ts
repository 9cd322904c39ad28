/** What is typed after a verb. */
import { parseArgs, type ParseArgsConfig } from "node:util";

import { UsageError } from "./usage-error.js";

export type FlagTypes = NonNullable<ParseArgsConfig["options"]>;

/** The value of each flag: of one that may be repeated all of them, undefined where it was not given. */
export type FlagValues<Types extends FlagTypes> = {
  readonly [Name in keyof Types]:
    | (Types[Name] extends { type: "boolean" }
        ? boolean
        : Types[Name] extends { multiple: true }
          ? readonly string[]
          : string)
    | undefined;
};

/** It is not to be done, but to be explained. */
export class HelpWanted extends Error {}

const HELP_FLAG = { help: { type: "boolean", short: "h" } } as const;

export interface Parsed<Types extends FlagTypes> {
  readonly flags: FlagValues<Types>;
  readonly rest: readonly string[];
}

/** Flags up to the first word that is none, or `--`. Throws a UsageError, or HelpWanted where `--help` is one. */
export function parseFlags<const Types extends FlagTypes>(
  argv: readonly string[],
  options: Types,
): Parsed<Types> {
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  const end = tokens.find(({ kind }) => kind !== "option");
  const [flags, rest] =
    end === undefined
      ? [argv, []]
      : [argv.slice(0, end.index), argv.slice(end.kind === "positional" ? end.index : end.index + 1)];
  return { flags: parseAll(flags, options, false).flags, rest };
}

/** Flags anywhere before `--`, and all other words. Throws a UsageError, or HelpWanted where `--help` is one. */
export function parseMixed<const Types extends FlagTypes>(
  argv: readonly string[],
  options: Types,
): Parsed<Types> {
  return parseAll(argv, options, true);
}

function parseAll<const Types extends FlagTypes>(
  argv: readonly string[],
  options: Types,
  allowPositionals: boolean,
): Parsed<Types> {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { ...HELP_FLAG, ...options },
      strict: true,
      allowPositionals,
    });
    if ("help" in values) throw new HelpWanted();
    return { flags: values as unknown as FlagValues<Types>, rest: positionals };
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(firstSentence(error.message)) : error;
  }
}

/** Node goes on to explain how positional arguments are written, and values that begin with a dash. */
function firstSentence(message: string): string {
  const [sentence = message] = message.split(/\. |\.?\n/);
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}
