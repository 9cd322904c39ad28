/** Put where text has been cut off. Three bytes. */
const ELLIPSIS = "…";

/**
 * The text without half characters (lone surrogates become U+FFFD), cut between characters and with an ellipsis
 * if it is longer than so many bytes of UTF-8.
 */
export function clip(text: string, bytesMax: number): string {
  // A UTF-16 unit is a byte at least: what lies further on is never looked at.
  const start = text.slice(0, bytesMax + 1).toWellFormed();
  if (text.length <= bytesMax && Buffer.byteLength(start) <= bytesMax) return start;
  let bytes = Buffer.byteLength(ELLIPSIS);
  let end = 0;
  for (const character of start) {
    bytes += Buffer.byteLength(character);
    if (bytes > bytesMax) break;
    end += character.length;
  }
  return start.slice(0, end) + ELLIPSIS;
}
