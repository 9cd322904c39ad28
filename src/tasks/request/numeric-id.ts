/** The largest uid or gid there is; -1 as chown(2) and setresuid(2) take it: "unchanged". */
export const ID_MAX = 4_294_967_295;

/**
 * The number that a user or group of a request stands for; undefined: it is a name. Only plain
 * decimal numbers are numbers: "+1", " 1", "0x1" and "01" are names. NaN: more than 32 bits,
 * which must never wrap around to 0.
 */
export function parseNumericId(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]*)$/.test(text)) return undefined;
  const number = Number(text);
  return number <= ID_MAX ? number : NaN;
}
