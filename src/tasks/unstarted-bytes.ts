/** What the requests of tasks that wait for Start may take of the daemon's memory. */
import { getHeapStatistics } from "node:v8";

import { TaskError } from "./errors.js";
import type { TaskSpec } from "./request/spec.js";

/** What a string of a request takes besides its characters: its header, and its place in a list or a map. */
const STRING_BYTES = 64;

/** So much of the heap's limit is for what a request becomes on its way, and for garbage that is still to be found. */
const HEAP_SPARE = 0.15;

export class UnstartedBytes {
  private taken = 0;

  constructor(private readonly max: number) {}

  /** Takes as many bytes as the request holds; gives a function that gives them back, once. */
  reserve(spec: TaskSpec): () => void {
    const bytes = bytesOf(spec);
    assertHeapRoom(bytes);
    if (this.taken + bytes > this.max) {
      throw new TaskError({
        reason: "UNSTARTED_BYTES_EXCEEDED",
        message: `the requests of tasks that wait for Start, and this one of ${bytes} bytes, are more than ${this.max} bytes`,
      });
    }
    this.taken += bytes;
    let given = false;
    return () => {
      if (!given) this.taken -= bytes;
      given = true;
    };
  }
}

/** More than V8's limit would end the daemon; see docs/decisions.md. */
function assertHeapRoom(bytes: number): void {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
  if (used + bytes <= (1 - HEAP_SPARE) * limit) return;
  throw new TaskError({
    reason: "HOST_EXHAUSTED",
    message: `the daemon's memory has no room for a request of ${bytes} bytes`,
    metadata: { errno: "ENOMEM" },
  });
}

/** Of every string whose length or number is up to the client. */
function bytesOf({ command, ...spec }: TaskSpec): number {
  let bytes = 0;
  const add = (texts: Iterable<string>): void => {
    for (const text of texts) bytes += 2 * text.length + STRING_BYTES;
  };
  if (command.kind === "line") add(command.words);
  else {
    add([command.program]);
    add(command.args);
  }
  for (const map of [spec.env, spec.meta, spec.labels]) {
    add(map.keys());
    add(map.values());
  }
  add(spec.ports.keys());
  for (const { source, target } of [...spec.chroot, ...spec.mounts]) add([source, target]);
  add(spec.supplementaryGroups);
  add([spec.user, spec.group, spec.workDir]);
  return bytes;
}
