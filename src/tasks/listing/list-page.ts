import { turns } from "../concurrency/fair-turns.js";
import type { Task } from "../task.js";
import type { ListQuery } from "./list-query.js";
import { pageToken } from "./page-token.js";
import { viewOf, type TaskView } from "./task-view.js";
import type { InOrder } from "./uuid-order.js";

export interface ListPage {
  /** Encoded, each by itself. */
  readonly tasks: readonly Uint8Array[];
  /** Empty: there is no next page. */
  readonly nextPageToken: string;
}

/** How many tasks are looked at, and how many bytes are encoded, between two looks at the clock. */
const LOOK_AT = 64;
const PIECE_BYTES = 32 * 1024;

/** How much a page may hold: far less than a message may, since one task is 30 KiB at most. */
const PAGE_BYTES_MAX = 512 * 1024;

/** One page, of at least one task if there is one that matches. It is made over several turns of the event loop. */
export async function listPage(
  order: InOrder<Task>,
  { matches, filterDigest, pageSize, after }: ListQuery,
  encode: (task: TaskView) => Uint8Array,
  caller: AbortSignal,
): Promise<ListPage> {
  const tasks: Uint8Array[] = [];
  let pageBytes = 0;
  let lookedAt = after;
  let last = "";
  for (;;) {
    await turns.enter();
    caller.throwIfAborted();
    const some = order.after(lookedAt, LOOK_AT);
    const pieceEnd = pageBytes + PIECE_BYTES;
    for (const task of some) {
      lookedAt = task.uuid;
      if (!matches(task)) continue;
      const encoded = encode(viewOf(task));
      pageBytes += encoded.length;
      const full = tasks.length === pageSize || (tasks.length > 0 && pageBytes > PAGE_BYTES_MAX);
      if (full) return { tasks, nextPageToken: pageToken(last, filterDigest) };
      tasks.push(encoded);
      last = task.uuid;
      if (pageBytes > pieceEnd) break;
    }
    const end = some.at(-1);
    if (end === undefined || (some.length < LOOK_AT && lookedAt === end.uuid)) {
      return { tasks, nextPageToken: "" };
    }
  }
}
