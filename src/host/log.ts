import type { Log } from "../tasks/ports.js";

type Fields = Readonly<Record<string, unknown>>;

/** One JSON object a line, on standard error. */
export class StderrLog implements Log {
  info(message: string, fields: Fields = {}): void {
    this.write("info", message, fields);
  }

  error(message: string, fields: Fields = {}): void {
    this.write("error", message, fields);
  }

  private write(level: string, message: string, fields: Fields): void {
    const line = { time: new Date().toISOString(), level, message, ...fields };
    process.stderr.write(`${JSON.stringify(line, errorsAsText)}\n`);
  }
}

function errorsAsText(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? value.message;
  if (typeof value === "bigint") return value.toString();
  return value;
}
