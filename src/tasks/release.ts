import { persist } from "./concurrency/persist.js";
import type { Log, SandboxHost, TaskCgroup, TaskRecord } from "./ports.js";

/**
 * What is to be done once nothing of a task runs; not done before it is done, unless the daemon stops. It closes
 * over no more than this: it is kept as long as the task's record.
 */
export function releaser(
  { sandboxes, log }: { readonly sandboxes: SandboxHost; readonly log: Log },
  { id, allocId, taskName, chrootMethod }: TaskRecord,
  cgroup: TaskCgroup | undefined,
  stopping: AbortSignal,
): () => Promise<void> {
  const release = async (): Promise<void> => {
    await cgroup?.kill();
    await cgroup?.remove();
    if (chrootMethod === "link") await sandboxes.remove("trees", allocId, taskName);
  };
  return async () => {
    await persist(
      release,
      (error) => log.error("something of an ended task is left", { id, error }),
      stopping,
    );
  };
}
