/**
 * What the service does, without gRPC: the calls of the contract by which a task comes to
 * be and is found. What is done with one task are the methods of `Task`.
 */
import { allocNameFor } from "./access/alloc-name.js";
import type { Caller } from "./access/identity.js";
import { AllocDirs } from "./alloc-dirs.js";
import { collectFile, type Collection } from "./collect.js";
import { persist } from "./concurrency/persist.js";
import { settledIn } from "./concurrency/settled-in.js";
import { digestOf } from "./digest.js";
import { TaskError } from "./errors.js";
import type { Exit } from "./exit.js";
import { ExpiredDirs } from "./expired-dirs.js";
import { RequestIds, type MadeTask } from "./idempotency/request-ids.js";
import { listPage, type ListPage } from "./listing/list-page.js";
import { checkList, type ListInput } from "./listing/list-query.js";
import type { TaskView } from "./listing/task-view.js";
import type { LogEvent } from "./output/events.js";
import { readLogs, type LogsRequest } from "./output/read-logs.js";
import { SharedOutputs } from "./output/shared-outputs.js";
import type { CollectedStore } from "./ports.js";
import type { OutputStore } from "./ports-output.js";
import { recoverTasks, type Recovered } from "./recovery.js";
import { Registry, type Retention } from "./registry.js";
import type { CollectPath } from "./request/collect-paths.js";
import { checkConfigure, type ConfigureInput } from "./request/spec.js";
import { TaskMaker, type Brought, type TaskMakerParts } from "./task-maker.js";
import type { Task, TaskState } from "./task.js";

/** How long the daemon, once it stops, waits for what is being cleaned up, and for the disk; the next one does the rest. In milliseconds. */
const CLEANUP_MS = 500;

export interface ExecutorParts extends TaskMakerParts {
  readonly collected: CollectedStore;
  readonly outputs: OutputStore;
  readonly retention: Retention;
  /** Whether the directories of a task go with its record. */
  readonly removeAllocDirs: boolean;
}

const NOTHING: Brought = { files: [], stdin: undefined, nameHeld: () => Promise.resolve(), rest: {} };

export interface OpenAnswer {
  readonly state: TaskState;
  readonly exit: Exit | undefined;
}

export class Executor {
  private readonly registry: Registry;
  private readonly maker: TaskMaker;
  private readonly requests = new RequestIds();
  private readonly allocs: AllocDirs;
  private readonly outputs: SharedOutputs;
  /** Undefined: what tasks have left in their alloc directories stays. */
  private readonly expiredDirs: ExpiredDirs | undefined;
  private readonly stopping = new AbortController();
  private readonly ending = new AbortController();

  constructor(private readonly parts: ExecutorParts) {
    this.allocs = new AllocDirs(parts.sandboxes, parts.paths);
    this.outputs = new SharedOutputs(parts.outputs);
    if (parts.removeAllocDirs) {
      this.expiredDirs = new ExpiredDirs({
        remove: (scope, name) => this.allocs.clear(scope, name),
        report: (error) => parts.log.error("cannot remove the directories of an expired task", { error }),
        stopping: this.stopping.signal,
      });
    }
    this.registry = new Registry(parts.retention, (task) => this.forget(task));
    const { allocs, expiredDirs, registry, requests } = this;
    this.maker = new TaskMaker(parts, { allocs, expiredDirs, registry, requests }, this.stopping.signal);
  }

  /** All or nothing, also when the caller goes, or the daemon stops, on the way. */
  async configure(
    input: ConfigureInput,
    caller: AbortSignal,
    by: Caller,
    brought: Brought = NOTHING,
  ): Promise<MadeTask> {
    this.stopping.signal.throwIfAborted();
    const checked = checkConfigure(input);
    const spec = { ...checked, allocId: allocNameFor(by, checked.allocId) };
    const wanted = { spec, owner: by.identity, brought };
    if (spec.requestId === undefined) return this.maker.make({ ...wanted, mark: undefined }, caller);
    const { files, stdin, rest } = brought;
    const digest = await digestOf({ ...input, requestId: undefined, files, stdin, ...rest });
    const mark = { id: spec.requestId, digest };
    return this.requests.once(wanted.owner, mark, caller, (allGone) =>
      this.maker.make({ ...wanted, mark }, allGone),
    );
  }

  /** The task of an id; throws INVALID_ARGUMENT, or NOT_FOUND, also for a task that is not the caller's to see. */
  get(id: string, by: Caller): Task {
    return this.registry.get(id, by);
  }

  /** One page of tasks, each encoded. Throws FIELD_INVALID. */
  async list(
    input: ListInput,
    encode: (task: TaskView) => Uint8Array,
    caller: AbortSignal,
    by: Caller,
  ): Promise<ListPage> {
    return listPage(this.registry.inOrder, await checkList(input, by), encode, caller);
  }

  /** Resolves when an ended task's record has gone, and what goes with it; carried through, whether or not its caller waits. */
  async delete(id: string, by: Caller): Promise<void> {
    if (!(await this.registry.delete(id, by))) throw stoppingError();
  }

  /** After it there is a live handle or nothing. */
  async open(id: string, mode: "reattach" | "kill", caller: AbortSignal, by: Caller): Promise<OpenAnswer> {
    const task = this.registry.get(id, by);
    if (mode === "kill") await task.kill("force_stop", caller);
    return { state: task.state, exit: task.finalExit };
  }

  /** Has a file of a task that has ended used, by way of a copy that goes then. */
  collect<T>(
    { record }: Task,
    wanted: CollectPath,
    use: (collection: Collection) => AsyncIterable<T>,
  ): AsyncIterable<T> {
    const { sandboxes, collected } = this.parts;
    return collectFile({ sandboxes, records: collected }, record, wanted, use);
  }

  /** What a task has written; throws where there is none of this id. Whoever reads goes on when its record expires. */
  logs(id: string, request: LogsRequest, caller: AbortSignal, by: Caller): AsyncIterable<LogEvent> {
    return readLogs(this.registry.get(id, by), this.outputs, request, caller);
  }

  /** Finds the tasks of an earlier daemon; to be called once, before anything else. Resolves to how many were alive. */
  async recover(): Promise<Recovered> {
    const { tasks, lost, orphans, unanswered, ...found } = await recoverTasks(
      this.parts,
      this.stopping.signal,
    );
    for (const cgroup of orphans) void this.maker.takeDown(cgroup);
    await Promise.all(unanswered.map((record) => this.maker.takeAwayAgain(record)));
    for (const task of tasks) {
      const { allocId, taskName, exit } = task.record;
      this.expiredDirs?.hold(task.record);
      this.registry.add(task);
      this.requests.remember(task.record);
      if (exit === undefined) void task.ended.then(this.registry.reserveAgain(allocId, taskName));
    }
    this.registry.lose(lost);
    return { ...found, lost: lost.length, unanswered: unanswered.length };
  }

  /**
   * Takes no more tasks, and lets those that run go on, for the next daemon to find, or ends them. Those that wait
   * for Start end. Resolves when all that is known is on disk for good.
   */
  async stop({ endTasks }: { readonly endTasks: boolean }): Promise<void> {
    this.stopping.abort(stoppingError());
    await this.maker.stopped();
    const live = this.registry.live();
    const waiting = live.filter(({ state }) => state === "configured");
    await Promise.all(waiting.map((task) => task.kill("never_started")));
    if (endTasks) await Promise.all(live.map((task) => task.kill("force_stop")));
    // Whoever waits for what runs on has waited long enough.
    this.ending.abort(stoppingError());
    const cleanups = this.registry.live().map((task) => task.cleanedUp());
    await settledIn([...cleanups, this.allocs.allSettled()], CLEANUP_MS);
    const flushed = this.parts.records.flush().catch((error: unknown) => {
      this.parts.log.error("cannot sync the records", { error });
    });
    await settledIn([flushed], CLEANUP_MS);
    this.registry.clear();
  }

  /** It takes no more tasks, and those that run are not to end for that. */
  get isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  /** Fires, with what callers are to be told, when no call is to wait any more. */
  get ends(): AbortSignal {
    return this.ending.signal;
  }

  /** The record last: until then the next daemon finds what is to go with it. False: the daemon has stopped before. */
  private async forget({ id, uuid, record }: Task): Promise<boolean> {
    this.requests.forget(record);
    const { records, log } = this.parts;
    const report = (error: unknown): void => log.error("cannot remove an expired record", { id, error });
    if ((await this.expiredDirs?.expire(record)) === false) return false;
    return persist(() => records.remove(uuid), report, this.stopping.signal);
  }
}

function stoppingError(): TaskError {
  return new TaskError({ reason: "STOPPING", message: "the daemon is stopping" });
}
