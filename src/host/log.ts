import type { Log } from "../tasks/ports.js";

/** What steers a terminal, or hides from its reader, and JSON leaves as it is: within strings, each can be written so. */
const UNPRINTABLE = /[\x7f-\x9f\p{Cf}\u2028\u2029]/gu;

type Fields = Readonly<Record<string, unknown>>;

/** One JSON object a line, on standard error. */
export class StderrLog implements Log {
  constructor() {
    // Whoever reads the log may go before the daemon does: that must not end it, with tasks alive.
    if (process.stderr.listenerCount("error") === 0) process.stderr.on("error", () => undefined);
  }

  info(message: string, fields: Fields = {}): void {
    this.write("info", message, fields);
  }

  error(message: string, fields: Fields = {}): void {
    this.write("error", message, fields);
  }

  private write(level: string, message: string, fields: Fields): void {
    const line = { time: new Date().toISOString(), level, message, ...fields };
    process.stderr.write(`${JSON.stringify(line, errorsAsText).replace(UNPRINTABLE, escaped)}\n`);
  }
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

function errorsAsText(_key: string, value: unknown): unknown {
  if (value instanceof Error) return textOf(value);
  if (typeof value === "bigint") return value.toString();
  return value;
}

/** Without the path that a system call was made with: below the daemon's directories it has names that clients choose. */
function textOf(error: NodeJS.ErrnoException & { readonly dest?: unknown }): string {
  const { stack, message, path, dest } = error;
  const paths = [path, dest].filter((name) => typeof name === "string");
  return paths.reduce((text, name) => text.replaceAll(`'${name}'`, "'…'"), stack ?? message);
}
