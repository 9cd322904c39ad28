/** The file "exit" in a task's record directory, which init writes while the daemon may read it. */
import { join } from "node:path";

import type { Disk } from "./disk.js";
import { decodeExit, EXIT_NAME, type DecodedExit } from "./exit-record.js";
import { readSmallFile } from "./record-file.js";

/** Init's one write takes less than a microsecond: two reads in a row do not both fall into it, nor three. */
const READS = 3;

export type ExitFile = DecodedExit | { readonly kind: "absent" };

/** Rejects, with EMFILE, ENFILE or ENOMEM, where the daemon cannot look: what init has written may well be whole. */
export async function readExitFile(disk: Disk, directory: string): Promise<ExitFile> {
  for (let reads = 1; ; reads++) {
    const file = await readSmallFile(disk, join(directory, EXIT_NAME));
    if (file.kind === "absent") return file;
    if (file.kind === "unreadable") return { ...file, torn: false };
    const decoded = decodeExit(file.bytes);
    if (decoded.kind !== "unreadable" || !decoded.torn || reads === READS) return decoded;
  }
}
