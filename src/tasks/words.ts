import { invalidField } from "./errors.js";
import { ARG_BYTES_MAX, interpolate } from "./interpolate.js";

/** A stretch of a word. Quoted by a backslash or single quotes it is literal: nothing in it is replaced. */
interface Piece {
  text: string;
  readonly literal: boolean;
}

/** A separator, a quote, a backslash, or the longest stretch of anything else. */
const TOKEN = /[ \t\n]+|['"\\]|[^ \t\n'"\\]+/y;

/** What a backslash escapes between double quotes; before anything else it is itself. */
const ESCAPED_IN_DOUBLE_QUOTES: ReadonlySet<string> = new Set(["$", "`", '"', "\\"]);

/**
 * Splits a command line into words, then replaces variables within them, so that a value with
 * spaces stays one word.
 *
 * The quoting rules are the shell's (POSIX.1-2017, XCU 2.2): single quotes, double quotes with
 * `\` before `$`, `` ` ``, `"`, `\` and newline, a backslash elsewhere; backslash and newline
 * vanish; adjacent pieces are one word; empty quotes make an empty word. Words are separated by
 * spaces, tabs and newlines. Nothing else means anything: operators, globs, backticks, `~` and `#`
 * are characters like others.
 *
 * As in a shell, a `$` in single quotes or after a backslash stays; elsewhere `interpolate` says
 * what is replaced. Throws INVALID_ARGUMENT (command_line) for a quote without its end and for a
 * backslash at the end.
 */
export function splitWords(line: string, env: ReadonlyMap<string, string>): string[] {
  return [...eachWord(line, env)];
}

/** The same, one word at a time: what is replaced in a word can be far longer than the line. */
export function* eachWord(line: string, env: ReadonlyMap<string, string>): Iterable<string> {
  for (const pieces of split(line)) yield replaced(pieces, env);
}

/** As `interpolate`, replaces nothing more once a word is longer than the kernel executes. */
function replaced(pieces: readonly Piece[], env: ReadonlyMap<string, string>): string {
  let word = "";
  for (const { text, literal } of pieces) {
    word += literal || word.length >= ARG_BYTES_MAX ? text : interpolate(text, env);
  }
  return word;
}

function split(line: string): Piece[][] {
  const words: Piece[][] = [];
  let word: Piece[] | undefined;
  TOKEN.lastIndex = 0;
  for (let at = 0; at < line.length; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(line)?.[0] ?? "";
    switch (token) {
      case "'": {
        const end = line.indexOf("'", at + 1);
        if (end === -1) throw unterminated("single");
        add((word ??= []), line.slice(at + 1, end), true);
        TOKEN.lastIndex = end + 1;
        break;
      }
      case '"':
        TOKEN.lastIndex = doubleQuoted(line, at + 1, (word ??= []));
        break;
      case "\\": {
        const escaped = characterAt(line, at + 1);
        if (escaped === "") throw invalidField("command_line", "command_line ends in a backslash");
        if (escaped !== "\n") add((word ??= []), escaped, true);
        TOKEN.lastIndex = at + 1 + escaped.length;
        break;
      }
      default:
        if (/^[ \t\n]/.test(token)) {
          if (word !== undefined) words.push(word);
          word = undefined;
        } else {
          add((word ??= []), token, false);
        }
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** Adds what is between double quotes to a word; answers the index after the closing one. */
function doubleQuoted(line: string, from: number, word: Piece[]): number {
  // The quotes end a name that began before them, as in `$A"B"`, and make a word of nothing.
  word.push({ text: "", literal: false });
  const special = /["\\]/g;
  let done = from;
  for (;;) {
    special.lastIndex = done;
    const at = special.exec(line)?.index;
    if (at === undefined) throw unterminated("double");
    add(word, line.slice(done, at), false);
    if (line[at] === '"') {
      word.push({ text: "", literal: true });
      return at + 1;
    }
    const next = line[at + 1] ?? "";
    if (ESCAPED_IN_DOUBLE_QUOTES.has(next)) add(word, next, true);
    else if (next !== "\n") add(word, `\\${next}`, true);
    done = at + 1 + next.length;
  }
}

/** Joins stretches of one kind: a name can be interrupted by a backslash and a newline, as in a shell. */
function add(word: Piece[], text: string, literal: boolean): void {
  const last = word.at(-1);
  if (last?.literal === literal) last.text += text;
  else word.push({ text, literal });
}

function characterAt(line: string, at: number): string {
  const point = line.codePointAt(at);
  return point === undefined ? "" : String.fromCodePoint(point);
}

function unterminated(kind: "single" | "double"): Error {
  return invalidField("command_line", `command_line has a ${kind} quote without its end`);
}
