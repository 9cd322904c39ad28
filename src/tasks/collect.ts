/** Files of a task that has ended, for the client that has asked for them. */
import { TaskError } from "./errors.js";
import { exhaustion, hostExhausted } from "./fault-errors.js";
import {
  HelperFault,
  type Collect,
  type CollectedFile,
  type CollectedStore,
  type SandboxHost,
  type TaskRecord,
} from "./ports.js";
import type { CollectPath } from "./request/collect-paths.js";

export type Collection =
  | { readonly kind: "file"; readonly file: CollectedFile; readonly content: AsyncIterable<Buffer> }
  /** `of`: whether the errno is about the file that was asked for, or about the host, which could not copy it. */
  | { readonly kind: "failed"; readonly of: "file" | "host"; readonly errno: string };

export interface CollectParts {
  readonly sandboxes: Pick<SandboxHost, "collect">;
  readonly records: CollectedStore;
}

/**
 * Copies a file out of the task's reach, and has it used; when `use` has ended the copy is gone. So what is told of
 * the file is told of the bytes that are read, whatever another task of its alloc does to it meanwhile.
 */
export async function* collectFile<T>(
  { sandboxes, records }: CollectParts,
  { uuid, allocId, taskName }: Pick<TaskRecord, "uuid" | "allocId" | "taskName">,
  { path, maxBytes }: CollectPath,
  use: (collection: Collection) => AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  const into = await roomFor(records, uuid);
  if (typeof into !== "string") {
    yield* use(into);
    return;
  }
  let made = false;
  try {
    const copied = await copy(sandboxes, { allocId, taskName, path, maxBytes, into });
    made = !("errno" in copied);
    yield* use("errno" in copied ? copied : { ...copied, content: contentOf(records, into) });
  } finally {
    await remove(records, into, made);
  }
}

/** Where there is no copy, or none that is whole, that is what is told. What is left goes with the record, or with the daemon. */
async function remove(records: CollectedStore, copied: string, made: boolean): Promise<void> {
  try {
    await records.removeCollected(copied);
  } catch (error) {
    const shortage = hostExhausted(error, "remove the copy of a file that was asked for");
    if (shortage === undefined) throw error;
    if (made) throw shortage;
  }
}

type Failed = Extract<Collection, { kind: "failed" }>;

/** Where the copy is to be. That there is no room for its directory is told as that there is none for itself. */
async function roomFor(records: CollectedStore, uuid: string): Promise<string | Failed> {
  try {
    return await records.roomForCollected(uuid);
  } catch (error) {
    const errno = exhaustion(error);
    if (errno === undefined) throw orRemoved(error);
    return { kind: "failed", of: "host", errno };
  }
}

async function* contentOf(records: CollectedStore, path: string): AsyncGenerator<Buffer, void, undefined> {
  try {
    yield* records.readCollected(path);
  } catch (error) {
    throw hostExhausted(error, "read the copy of a file that was asked for") ?? orRemoved(error);
  }
}

/** Somebody may delete the record, in which the copies are, while its files are sent. */
function orRemoved(error: unknown): unknown {
  return (error as { readonly code?: unknown }).code === "ENOENT" ? recordRemoved(error) : error;
}

function recordRemoved(cause: unknown): TaskError {
  return new TaskError({
    reason: "TASK_NOT_FOUND",
    message: "the task's record has been removed, and its files cannot be sent any more",
    cause,
  });
}

async function copy(
  sandboxes: CollectParts["sandboxes"],
  wanted: Collect,
): Promise<Failed | { readonly kind: "file"; readonly file: CollectedFile }> {
  try {
    return { kind: "file", file: await sandboxes.collect(wanted) };
  } catch (error) {
    if (!(error instanceof HelperFault)) throw error;
    const { step, errno } = error.fault;
    if (step === "COPY_COLLECTED" && errno === "ENOENT") throw recordRemoved(error);
    return { kind: "failed", of: step === "OPEN_COLLECTED" ? "file" : "host", errno };
  }
}
