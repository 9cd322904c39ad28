import { readFile, stat } from "node:fs/promises";

/** What a file says, parsed again only when the file has changed. A file that is not there is empty. */
export class CachedFile<T> {
  private current: { readonly version: string; readonly value: Promise<T> } | undefined;

  constructor(
    private readonly path: string,
    private readonly parse: (text: string) => T,
  ) {}

  async read(): Promise<T> {
    // Looked at before it is read: a change in between is seen by the next call.
    const version = await this.version();
    if (this.current?.version === version) return this.current.value;
    const value = this.load();
    const current = { version, value };
    this.current = current;
    value.catch(() => {
      if (this.current === current) this.current = undefined;
    });
    return value;
  }

  private async load(): Promise<T> {
    return this.parse(await orIfAbsent(readFile(this.path, "utf8"), ""));
  }

  /** Editors of these files rename a new one into place; others change size or time. */
  private async version(): Promise<string> {
    const found = await orIfAbsent(stat(this.path, { bigint: true }), undefined);
    if (found === undefined) return "";
    return [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(":");
  }
}

function orIfAbsent<T, A>(wanted: Promise<T>, absent: A): Promise<T | A> {
  return wanted.catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return absent;
    throw error;
  });
}
