/** Files that a task is given, and those that are taken from it once it has ended. */
import type { CollectedFile, CollectPath, InputFile } from "../gen/executor/v1/executor.js";
import { parseByteSize, type ByteSize } from "./limits.js";

/** What a file of the task's holds, with permissions (0644) or without. */
export type FileContent =
  string | Uint8Array | { readonly content: string | Uint8Array; readonly mode?: number | undefined };

/** A file that was asked for by `collect`. */
export type TaskFile =
  | {
      readonly path: string;
      /** Its permissions. */
      readonly mode: number;
      /** Of all of it. */
      readonly sizeBytes: number;
      /** As much of it as was asked for. */
      readonly content: Uint8Array;
      /** Whether there is more of it. */
      readonly truncated: boolean;
      readonly error?: undefined;
    }
  | {
      readonly path: string;
      /**
       * An errno's name: "ENOENT", "EISDIR", "ELOOP" (a link), "EACCES" (the task's user may not read it), "ENOSPC" (the
       * host has no room for its copy), "ESTALE" (it was removed, with the task's record, before it was sent), and so on.
       */
      readonly error: string;
      readonly content?: undefined;
    };

/** The messages. */
export function toInputFiles(files: Readonly<Record<string, FileContent>>): InputFile[] {
  return Object.entries(files).map(([path, file]) => {
    const { content, mode = 0 } = typeof file === "string" || isBytes(file) ? { content: file } : file;
    return { path, content: Buffer.from(content), mode };
  });
}

function isBytes(file: FileContent): file is Uint8Array {
  return ArrayBuffer.isView(file);
}

/** The messages. Throws a TypeError. */
export function toCollectPaths(collect: Readonly<Record<string, ByteSize>>): CollectPath[] {
  return Object.entries(collect).map(([path, most]) => ({
    path,
    maxBytes: parseByteSize(most, `collect[${JSON.stringify(path)}]`),
  }));
}

/** Files as they come: of each what it is, and then what it holds. */
export class ReceivedFiles {
  private readonly files: { readonly head: CollectedFile; readonly pieces: Uint8Array[] }[] = [];

  begin(head: CollectedFile): void {
    this.files.push({ head, pieces: [] });
  }

  append(data: Uint8Array): void {
    this.files.at(-1)?.pieces.push(data);
  }

  all(): TaskFile[] {
    return this.files.map(({ head: { path, mode, sizeBytes, error }, pieces }) => {
      if (error !== "") return { path, error };
      const content = Buffer.concat(pieces);
      return { path, mode, sizeBytes: Number(sizeBytes), content, truncated: content.length < sizeBytes };
    });
  }
}
