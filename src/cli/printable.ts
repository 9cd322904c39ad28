/** Text of others, as it may come to a terminal. */

/** Control characters, and what turns the direction of a line. */
const UNPRINTABLE = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** On one line, without what a terminal would obey: that is shown as `\x1b`. */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, escaped);
}

/** JSON as `JSON.stringify` has it, with what that leaves of control characters escaped too, and bigints as numbers in quotes. */
export function printableJson(value: unknown): string {
  const json = JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === "bigint" ? item.toString() : item),
    2,
  );
  return json.replaceAll(UNPRINTABLE, (character) => (character === "\n" ? character : unicode(character)));
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code > 0xff ? unicode(character) : `\\x${code.toString(16).padStart(2, "0")}`;
}

function unicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
