import { ARG_BYTES_MAX, argumentsTooLong } from "./exec-limits.js";

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;

/**
 * Replaces `$NAME` and `${NAME}` by the values of `env`.
 *
 * After a bare `$` a name is [A-Za-z_][A-Za-z0-9_]*, and the longest one counts. Between braces it
 * is any text without `}` and `${`, since NOMAD_PORT_<label> can hold `-` and `.`. What is no name
 * in `env` stays as it is, and there is no escape: `$$`, `${}` and `$1` stay too. Values are not
 * looked through again.
 *
 * Time is linear in the text. Throws a HelperFault (EXEC, E2BIG) once the values come to more bytes than
 * the kernel takes as one argument: a short text full of names cannot grow the daemon's memory.
 */
export function interpolate(text: string, env: ReadonlyMap<string, string>): string {
  let result = "";
  let done = 0;
  let close = -1;
  let grown = 0;
  for (let at = text.indexOf("$"); at !== -1; at = text.indexOf("$", at)) {
    let name: string | undefined;
    let end = at + 1;
    if (text[end] === "{") {
      // Both searches go on from where the last ones ended: no stretch is searched twice.
      if (close <= at) close = indexOrEnd(text, "}", at);
      const nextOpen = indexOrEnd(text, "${", at + 2);
      if (close < nextOpen) {
        name = text.slice(at + 2, close);
        end = close + 1;
      }
    } else {
      NAME.lastIndex = end;
      name = NAME.exec(text)?.[0];
      end += name?.length ?? 0;
    }
    const value = name === undefined ? undefined : env.get(name);
    if (value === undefined) {
      at += 1;
      continue;
    }
    grown += value.length < ARG_BYTES_MAX ? Buffer.byteLength(value) : value.length;
    if (grown >= ARG_BYTES_MAX) throw argumentsTooLong();
    result += text.slice(done, at) + value;
    done = end;
    at = end;
  }
  return result + text.slice(done);
}

function indexOrEnd(text: string, wanted: string, from: number): number {
  const index = text.indexOf(wanted, from);
  return index === -1 ? text.length : index;
}
