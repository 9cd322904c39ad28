/**
 * Most bytes of one argument that the kernel executes, with its terminating NUL: MAX_ARG_STRLEN,
 * 32 pages. Source: execve(2), "Limits on size of arguments and environment".
 */
export const ARG_BYTES_MAX = 131_072;

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;

/**
 * Replaces `$NAME` and `${NAME}` by the values of `env`.
 *
 * After a bare `$` a name is [A-Za-z_][A-Za-z0-9_]*, and the longest one counts. Between braces it
 * is any text without `}` and `${`, since NOMAD_PORT_<label> can hold `-` and `.`. What is no name
 * in `env` stays as it is, and there is no escape: `$$`, `${}` and `$1` stay too. Values are not
 * looked through again.
 *
 * Time is linear in the text. Once the result is longer than the kernel executes, the rest is left
 * as it is: exec refuses it all the same (E2BIG), and a short text full of names cannot grow the
 * daemon's memory without bound.
 */
export function interpolate(text: string, env: ReadonlyMap<string, string>): string {
  let result = "";
  let done = 0;
  let close = -1;
  for (let at = text.indexOf("$"); at !== -1; at = text.indexOf("$", at)) {
    if (result.length >= ARG_BYTES_MAX) break;
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
