/** What was typed cannot be: told in one line, and where to read more. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}
