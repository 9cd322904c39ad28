/** Text of others, as it may come to a terminal. */

/** Control characters, and what is not seen but changes what is: directions, joiners, tags, line separators. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** On one line, without what a terminal would obey: that is shown as `\x1b`. */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, escaped);
}

/** JSON as `JSON.stringify` has it, with what that leaves of control characters escaped too, and bigints as numbers in quotes. */
export function printableJson(value: unknown): string {
  return stringify(value, 2);
}

/** The same on one line, which it ends. */
export function printableJsonLine(value: unknown): string {
  return `${stringify(value, 0)}\n`;
}

function stringify(value: unknown, indent: number): string {
  const json = JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === "bigint" ? item.toString() : item),
    indent,
  );
  return json.replaceAll(UNPRINTABLE, (character) => (character === "\n" ? character : unicode(character)));
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code > 0xff ? unicode(character) : `\\x${code.toString(16).padStart(2, "0")}`;
}

/** As JSON has it: a character beyond U+FFFF is two of them. */
function unicode(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}
