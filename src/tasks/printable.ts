/** Controls, and what is not seen but changes what is: directions, joiners, line separators. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** The text as it can be shown on a terminal, whoever has written it: what would steer that is a `\u{…}` instead. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}
