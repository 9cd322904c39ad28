/** Pages of List as bytes. A page in one piece would be encoded in one turn of the event loop, and hold it for too long. */
import { BinaryWriter } from "@bufbuild/protobuf/wire";

import { Task } from "../gen/executor/v1/executor.js";
import type { ListPage } from "../tasks/listing/list-page.js";
import type { TaskView } from "../tasks/listing/task-view.js";
import { fromView } from "./convert-task.js";

/** `ListResponse.tasks = 1` and `next_page_token = 2`, both with their length before them. */
const TASKS_TAG = (1 << 3) | 2;
const NEXT_PAGE_TOKEN_TAG = (2 << 3) | 2;

export function encodeTask(view: TaskView): Uint8Array {
  return Task.encode(fromView(view)).finish();
}

/** A ListResponse, of tasks that have been encoded. */
export function encodePage({ tasks, nextPageToken }: ListPage): Buffer {
  const writer = new BinaryWriter();
  for (const task of tasks) writer.uint32(TASKS_TAG).bytes(task);
  if (nextPageToken !== "") writer.uint32(NEXT_PAGE_TOKEN_TAG).string(nextPageToken);
  return Buffer.from(writer.finish());
}
