/** Files of a task that has ended, for the client that has asked for them. */
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
  let into: string | undefined;
  try {
    into = await records.roomForCollected(uuid);
    const copied = await copy(sandboxes, { allocId, taskName, path, maxBytes, into });
    yield* use("errno" in copied ? copied : { ...copied, content: records.readCollected(into) });
  } finally {
    if (into !== undefined) await records.removeCollected(into);
  }
}

type Failed = Extract<Collection, { kind: "failed" }>;

async function copy(
  sandboxes: CollectParts["sandboxes"],
  wanted: Collect,
): Promise<Failed | { readonly kind: "file"; readonly file: CollectedFile }> {
  try {
    return { kind: "file", file: await sandboxes.collect(wanted) };
  } catch (error) {
    if (!(error instanceof HelperFault)) throw error;
    const { step, errno } = error.fault;
    return { kind: "failed", of: step === "OPEN_COLLECTED" ? "file" : "host", errno };
  }
}
