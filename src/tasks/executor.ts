/**
 * What the service does, without gRPC: the calls of the contract by which a task comes to
 * be and is found. What is done with one task are the methods of `Task`.
 */
import { TaskError } from "./errors.js";
import type { Exit } from "./exit.js";
import { sandboxFailed } from "./fault-errors.js";
import {
  HelperFault,
  type CgroupHost,
  type HostPaths,
  type Log,
  type RecordStore,
  type RemoveScope,
  type SandboxHost,
  type TaskCgroup,
} from "./ports.js";
import type { UserDirectory } from "./ports-users.js";
import { MountPlans } from "./request/mount-plans.js";
import type { AllowedPath } from "./request/policy.js";
import { persist } from "./concurrency/persist.js";
import { Registry, type Retention } from "./registry.js";
import { checkConfigure, SHARED_DIR_NAME, type ConfigureInput, type TaskSpec } from "./request/spec.js";
import { cgroupTaskId, pidTaskId } from "./task-id.js";
import { Task, type TaskState } from "./task.js";
import { unenforceable, type Unenforced } from "./unenforced.js";
import { UnstartedBytes } from "./unstarted-bytes.js";
import { Undo } from "./concurrency/undo.js";
import { uuid7 } from "./uuid.js";

export interface ExecutorParts {
  readonly users: UserDirectory;
  /** What of the host chroot and mounts may name. */
  readonly allowedPaths: readonly AllowedPath[];
  readonly sandboxes: SandboxHost;
  readonly paths: HostPaths;
  /** Absent: this daemon can make no cgroups, and ids are PID ids. */
  readonly cgroups: CgroupHost | undefined;
  readonly records: RecordStore;
  readonly log: Log;
  /** What of a task's containment is not in force on this host. */
  readonly unenforced: readonly Unenforced[];
  readonly retention: Retention;
  /** How long a task may wait for Start, in milliseconds. */
  readonly unstartedTtlMs: number;
  /** How many bytes the requests of tasks that wait for Start may hold. */
  readonly unstartedBytes: number;
}

export interface ConfigureAnswer {
  readonly id: string;
  readonly unenforced: readonly Unenforced[];
}

export interface OpenAnswer {
  readonly state: TaskState;
  readonly exit: Exit | undefined;
}

export class Executor {
  private readonly registry: Registry;
  private readonly plans: MountPlans;
  private readonly unstarted: UnstartedBytes;
  /** Alloc directories that are being removed after a Configure that failed. */
  private readonly removing = new Map<string, Promise<void>>();
  /** What each Configure under way is given up with. */
  private readonly configuring = new Map<Promise<unknown>, AbortController>();
  private readonly stopping = new AbortController();

  constructor(private readonly parts: ExecutorParts) {
    this.plans = new MountPlans(parts.allowedPaths, parts.paths);
    this.unstarted = new UnstartedBytes(parts.unstartedBytes);
    this.registry = new Registry(parts.retention, (task) => {
      parts.records.remove(task.uuid).catch((error: unknown) => {
        parts.log.error("cannot remove an expired record", { id: task.id, error });
      });
    });
  }

  /** All or nothing, also when the caller goes, or the daemon stops, on the way. */
  async configure(input: ConfigureInput, caller: AbortSignal): Promise<ConfigureAnswer> {
    if (this.stopping.signal.aborted) throw stoppingError();
    const spec = checkConfigure(input);
    const giveBack = this.unstarted.reserve(spec);
    const given = new AbortController();
    const giveUp = (): void => given.abort(caller.reason);
    if (caller.aborted) giveUp();
    caller.addEventListener("abort", giveUp, { once: true });
    const attempt = this.attempt(spec, giveBack, given.signal);
    this.configuring.set(attempt, given);
    try {
      return await attempt;
    } catch (error) {
      giveBack();
      throw error;
    } finally {
      caller.removeEventListener("abort", giveUp);
      this.configuring.delete(attempt);
    }
  }

  /** The task of an id; throws INVALID_ARGUMENT or NOT_FOUND. */
  get(id: string): Task {
    return this.registry.get(id);
  }

  /** After it there is a live handle or nothing. */
  async open(id: string, mode: "reattach" | "kill", caller?: AbortSignal): Promise<OpenAnswer> {
    const task = this.registry.get(id);
    if (mode === "kill") await task.kill("force_stop", caller);
    return { state: task.state, exit: task.finalExit };
  }

  /** Takes no more tasks, ends those that are there, and forgets all; resolves when nothing is left. */
  async stop(): Promise<void> {
    this.stopping.abort();
    for (const given of this.configuring.values()) given.abort(stoppingError());
    await Promise.allSettled(this.configuring.keys());
    await Promise.all(this.registry.live().map((task) => task.kill("force_stop")));
    await Promise.all(this.removing.values());
    this.registry.clear();
  }

  private async attempt(spec: TaskSpec, giveBack: () => void, signal: AbortSignal): Promise<ConfigureAnswer> {
    const { users, sandboxes, paths, cgroups, records, log, unenforced } = this.parts;
    const [user, mounts] = await Promise.all([users.lookup(spec), this.plans.of(spec)]);
    if (unenforced.length > 0 && !spec.allowUnenforced) throw unenforceable(unenforced);
    // Another may have begun to be removed meanwhile.
    while (this.removing.has(spec.allocId)) await this.removing.get(spec.allocId);
    signal.throwIfAborted();

    const uuid = uuid7();
    const undo = new Undo();
    try {
      const unreserve = this.registry.reserve(spec.allocId, spec.taskName);
      undo.add(unreserve);
      undo.add(() => records.remove(uuid));
      const [recordDir, cgroup, entries] = await allDone([
        records.create(uuid),
        createCgroup(cgroups, uuid, undo),
        paths.allocEntries(spec.allocId),
      ]);
      undo.add(() => this.removeNew(spec, entries));
      const sandbox = await sandboxes.create(
        {
          uid: user.uid,
          gid: user.gid,
          groups: user.groups,
          allocId: spec.allocId,
          taskName: spec.taskName,
          recordDir,
          workDir: spec.workDir,
          ownNetwork: spec.network === "none",
          mounts,
          cgroup,
        },
        signal,
      );
      const id = cgroup === undefined ? pidTaskId(sandbox.initPid, uuid) : cgroupTaskId(cgroup.path);
      const release = releaser(this.parts, id, spec, cgroup, this.stopping.signal);
      const task = new Task({ id, uuid, sandbox, cgroup, log, release }, { spec, user, giveBack });
      this.registry.add(task);
      void task.ended.then(unreserve);
      void task.ended.then(giveBack);
      this.dropUnlessStarted(task);
      return { id, unenforced };
    } catch (error) {
      await undo.run((failure) => log.error("cannot undo a step of Configure", { error: failure }));
      throw error instanceof HelperFault ? sandboxFailed(error.fault, mounts) : error;
    }
  }

  /**
   * Takes away what a failed Configure has made; `before` is what its alloc directory held. Of a task directory that
   * was there already these are the embedded trees: it held none, for they go at the end of each run.
   */
  private async removeNew(
    { allocId, taskName, chrootMethod }: TaskSpec,
    before: readonly string[] | undefined,
  ): Promise<void> {
    const wasThere = before?.includes(taskName) === true;
    if (wasThere && chrootMethod !== "link") return;
    const scope = async (): Promise<RemoveScope> => {
      if (wasThere) return "trees";
      return (await this.isOthersToo(allocId, taskName, before)) ? "task" : "alloc";
    };
    const removed = scope().then((what) => this.parts.sandboxes.remove(what, allocId, taskName));
    const settled = removed.then(
      () => undefined,
      () => undefined,
    );
    this.removing.set(allocId, settled);
    void settled.then(() => {
      if (this.removing.get(allocId) === settled) this.removing.delete(allocId);
    });
    await removed;
  }

  /** Whether another task uses the alloc directory, or has used it: its own directory is there then. */
  private async isOthersToo(
    allocId: string,
    taskName: string,
    before: readonly string[] | undefined,
  ): Promise<boolean> {
    if (before !== undefined || this.registry.tasksOf(allocId) > 1) return true;
    const entries = (await this.parts.paths.allocEntries(allocId)) ?? [];
    return entries.some((entry) => entry !== taskName && entry !== SHARED_DIR_NAME);
  }

  private dropUnlessStarted(task: Task): void {
    const timer = setTimeout(() => {
      if (task.state === "configured") void task.kill("never_started");
    }, this.parts.unstartedTtlMs);
    timer.unref();
    void task.ended.then(() => clearTimeout(timer));
  }
}

/**
 * What is to be done once nothing of a task runs; not done before it is done, unless the daemon stops. A
 * function of its own, so that what it closes over is no more than this: it is kept as long as the task's
 * record.
 */
function releaser(
  { sandboxes, log }: ExecutorParts,
  id: string,
  { allocId, taskName, chrootMethod }: TaskSpec,
  cgroup: TaskCgroup | undefined,
  stopping: AbortSignal,
): () => Promise<void> {
  const release = async () => {
    await cgroup?.kill();
    await cgroup?.remove();
    if (chrootMethod === "link") await sandboxes.remove("trees", allocId, taskName);
  };
  return () =>
    persist(release, (error) => log.error("something of an ended task is left", { id, error }), stopping);
}

function stoppingError(): TaskError {
  return new TaskError({ reason: "STOPPING", message: "the daemon is stopping" });
}

async function createCgroup(
  cgroups: CgroupHost | undefined,
  uuid: string,
  undo: Undo,
): Promise<TaskCgroup | undefined> {
  const cgroup = await cgroups?.create(uuid);
  if (cgroup !== undefined) {
    undo.add(async () => {
      await cgroup.kill();
      await cgroup.remove();
    });
  }
  return cgroup;
}

/** As Promise.all, but rejects only when all have settled: nothing is still being made then. */
async function allDone<T extends readonly Promise<unknown>[] | []>(
  promises: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
