import { invalidField } from "../errors.js";
import { interpolate } from "./interpolate.js";

/**
 * In a word of a line, before its variables are replaced: here a name ends. After a `$`: it stays. No line
 * holds a NUL, and no variable's name does.
 */
const BREAK = "\0";

/** What a backslash escapes between double quotes; before anything else it is itself. */
const ESCAPED_IN_DOUBLE_QUOTES = '$`"\\';

/**
 * Splits a command line, without a NUL in it, into words for `replaceWord`. In time that is linear in the line.
 *
 * The quoting rules are the shell's (POSIX.1-2017, XCU 2.2): single quotes, double quotes with
 * `\` before `$`, `` ` ``, `"`, `\` and newline, a backslash elsewhere; backslash and newline
 * vanish; adjacent pieces are one word; empty quotes make an empty word. Words are separated by
 * spaces, tabs and newlines. Nothing else means anything: operators, globs, backticks, `~` and `#`
 * are characters like others.
 *
 * As in a shell, a `$` in single quotes or after a backslash stays. Throws INVALID_ARGUMENT (command_line) for
 * a quote without its end and for a backslash at the end.
 */
export function splitLine(line: string): readonly string[] {
  const words: string[] = [];
  // Joined at its end: what is put together piece by piece is kept in pieces, at many times its length.
  let word: string[] | undefined;
  for (let at = 0; at < line.length;) {
    const first = line[at];
    switch (first) {
      case " ":
      case "\t":
      case "\n":
        if (word !== undefined) words.push(word.join(""));
        word = undefined;
        at += 1;
        break;
      case "'": {
        const end = line.indexOf("'", at + 1);
        if (end === -1) throw unterminated("single");
        (word ??= []).push(literal(line.slice(at + 1, end)));
        at = end + 1;
        break;
      }
      case '"': {
        const [text, end] = doubleQuoted(line, at + 1);
        (word ??= []).push(text);
        at = end;
        break;
      }
      case "\\": {
        const escaped = characterAt(line, at + 1);
        if (escaped === "") throw invalidField("command_line", "command_line ends in a backslash");
        if (escaped !== "\n") (word ??= []).push(literal(escaped));
        at += 1 + escaped.length;
        break;
      }
      default: {
        const end = endOfPlain(line, at);
        (word ??= []).push(line.slice(at, end));
        at = end;
      }
    }
  }
  if (word !== undefined) words.push(word.join(""));
  return words;
}

/** The word with its variables replaced, as by `interpolate`; a value with spaces stays in the one word. */
export function replaceWord(word: string, env: ReadonlyMap<string, string>): string {
  return plainWord(interpolate(word, env));
}

/** The word with nothing replaced. */
export function plainWord(word: string): string {
  return word.includes(BREAK) ? word.replaceAll(BREAK, "") : word;
}

/** Ends a name that began before it. */
function literal(text: string): string {
  return BREAK + (text.includes("$") ? text.replaceAll("$", `$${BREAK}`) : text);
}

/** What is between double quotes, and the index after the closing one. */
function doubleQuoted(line: string, from: number): readonly [string, number] {
  // The quotes end a name that began before them, as in `$A"B"`, and one that began between them.
  const pieces = [BREAK];
  for (let at = from; ;) {
    let end = at;
    while (end < line.length && line[end] !== '"' && line[end] !== "\\") end += 1;
    if (end === line.length) throw unterminated("double");
    pieces.push(line.slice(at, end));
    if (line[end] === '"') return [pieces.join("") + BREAK, end + 1];
    const next = line[end + 1] ?? "";
    if (next !== "" && ESCAPED_IN_DOUBLE_QUOTES.includes(next)) pieces.push(literal(next));
    else if (next !== "\n") pieces.push(literal(`\\${next}`));
    at = end + 1 + next.length;
  }
}

/** The index after the stretch of characters that mean nothing. */
function endOfPlain(line: string, from: number): number {
  let at = from;
  while (at < line.length && !meansSomething(line.charCodeAt(at))) at += 1;
  return at;
}

/** A space, tab, newline, quote or backslash. By its number: a line is gone through before this is compiled. */
function meansSomething(code: number): boolean {
  return code === 32 || code === 9 || code === 10 || code === 34 || code === 39 || code === 92;
}

function characterAt(line: string, at: number): string {
  const point = line.codePointAt(at);
  return point === undefined ? "" : String.fromCodePoint(point);
}

function unterminated(kind: "single" | "double"): Error {
  return invalidField("command_line", `command_line has a ${kind} quote without its end`);
}
