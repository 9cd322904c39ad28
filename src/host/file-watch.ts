import { stat } from "node:fs/promises";

/**
 * Tells when one of some files has become another. They are looked at by path, again and again: that sees what is
 * renamed into place, in a directory above, or behind a link, too.
 */
export class FileWatch {
  private timer: NodeJS.Timeout | undefined;
  private seen: string | undefined;

  /** @param paths asked for each time */
  constructor(
    private readonly paths: () => readonly string[],
    private readonly everyMs: number,
    private readonly changed: () => void,
  ) {}

  /** Resolves when what is there now has been seen. */
  async start(): Promise<void> {
    this.seen = await this.look();
    this.next();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private next(): void {
    this.timer = setTimeout(() => void this.compare(), this.everyMs).unref();
  }

  private async compare(): Promise<void> {
    const now = await this.look();
    if (this.timer === undefined) return;
    if (now !== this.seen) {
      this.seen = now;
      this.changed();
    }
    this.next();
  }

  private async look(): Promise<string> {
    const versions = await Promise.all(this.paths().map((path) => versionOf(path)));
    return versions.join("\n");
  }
}

async function versionOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [path, dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    return `${path} ${(error as NodeJS.ErrnoException).code}`;
  }
}
