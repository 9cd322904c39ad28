/**
 * What the service does, without gRPC: the calls of the contract by which a task comes to
 * be and is found. What is done with one task are the methods of `Task`.
 */
import { allocNameFor } from "./access/alloc-name.js";
import type { Caller, Owner } from "./access/identity.js";
import { collectFile, type Collection } from "./collect.js";
import type { CollectPath } from "./request/collect-paths.js";
import { AllocDirs, type AllocPart } from "./alloc-dirs.js";
import { TaskError } from "./errors.js";
import type { Exit } from "./exit.js";
import { hostExhausted, sandboxFailed } from "./fault-errors.js";
import {
  HelperFault,
  HelperGone,
  type CgroupHost,
  type CollectedStore,
  type FileSpec,
  type HostPaths,
  type Log,
  type RecordStore,
  type SandboxHost,
  type TaskCgroup,
} from "./ports.js";
import type { UserDirectory } from "./ports-users.js";
import { MountPlans } from "./request/mount-plans.js";
import type { AllowedPath } from "./request/policy.js";
import { digestOf } from "./digest.js";
import { ExpiredDirs } from "./expired-dirs.js";
import type { RequestMark } from "./idempotency/request-id.js";
import { RequestIds, type MadeTask } from "./idempotency/request-ids.js";
import { Journal } from "./journal.js";
import { listPage, type ListPage } from "./listing/list-page.js";
import { checkList, type ListInput } from "./listing/list-query.js";
import type { TaskView } from "./listing/task-view.js";
import { recoverTasks, type Recovered } from "./recovery.js";
import { releaser } from "./release.js";
import { Registry, type Retention } from "./registry.js";
import { checkConfigure, type ConfigureInput, type TaskSpec } from "./request/spec.js";
import { cgroupTaskId, pidTaskId } from "./task-id.js";
import { Task, type TaskState } from "./task.js";
import { unenforcedTimes } from "./time-limits.js";
import { unenforceable, type Unenforced } from "./unenforced.js";
import { UnstartedBytes } from "./unstarted-bytes.js";
import type { LogEvent } from "./output/events.js";
import { readLogs, type LogsRequest } from "./output/read-logs.js";
import { SharedOutputs } from "./output/shared-outputs.js";
import type { OutputStore } from "./ports-output.js";
import { persist } from "./concurrency/persist.js";
import { settledIn } from "./concurrency/settled-in.js";
import { Undo } from "./concurrency/undo.js";
import { uuid7 } from "./uuid.js";

/** How long the daemon, once it stops, waits for what is being cleaned up, and for the disk; the next one does the rest. In milliseconds. */
const CLEANUP_MS = 500;

export interface ExecutorParts {
  readonly users: UserDirectory;
  /** What of the host chroot and mounts may name. */
  readonly allowedPaths: readonly AllowedPath[];
  readonly sandboxes: SandboxHost;
  readonly paths: HostPaths;
  /** Absent: this daemon can make no cgroups, and ids are PID ids. */
  readonly cgroups: CgroupHost | undefined;
  readonly records: RecordStore;
  readonly collected: CollectedStore;
  readonly outputs: OutputStore;
  readonly log: Log;
  /** What of a task's containment is not in force on this host. */
  readonly unenforced: readonly Unenforced[];
  readonly retention: Retention;
  /** Whether the directories of a task go with its record. */
  readonly removeAllocDirs: boolean;
  /** How long a task may wait for Start, in milliseconds. */
  readonly unstartedTtlMs: number;
  /** How many bytes the requests of tasks that wait for Start may hold. */
  readonly unstartedBytes: number;
  /** Of this boot: /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
}

/** What a task gets beside what Configure asks for. */
export interface Brought {
  readonly files: readonly FileSpec[];
  /** Undefined: /dev/null. */
  readonly stdin: Uint8Array | undefined;
  /** Until it settles nobody gets the task's name, and its directory, however long the task has ended. Never rejects. */
  readonly nameHeld: Promise<unknown>;
  /** What else the request holds, so that another is never taken for a repetition of it. */
  readonly rest: object;
}

const NOTHING: Brought = { files: [], stdin: undefined, nameHeld: Promise.resolve(), rest: {} };

/** A task that is to be made. */
interface Wanted {
  readonly spec: TaskSpec;
  readonly brought: Brought;
  /** Whose it is to be; undefined: the host's own administrator's. */
  readonly owner: Owner | undefined;
  /** Undefined: the request cannot be repeated. */
  readonly mark: RequestMark | undefined;
}

export interface OpenAnswer {
  readonly state: TaskState;
  readonly exit: Exit | undefined;
}

export class Executor {
  private readonly registry: Registry;
  private readonly plans: MountPlans;
  private readonly unstarted: UnstartedBytes;
  private readonly requests = new RequestIds();
  private readonly allocs: AllocDirs;
  private readonly outputs: SharedOutputs;
  /** Undefined: what tasks have left in their alloc directories stays. */
  private readonly expiredDirs: ExpiredDirs | undefined;
  /** What each Configure under way is given up with. */
  private readonly configuring = new Map<Promise<unknown>, AbortController>();
  private readonly stopping = new AbortController();
  private readonly ending = new AbortController();

  constructor(private readonly parts: ExecutorParts) {
    this.plans = new MountPlans(parts.allowedPaths, parts.paths);
    this.unstarted = new UnstartedBytes(parts.unstartedBytes);
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
    if (spec.requestId === undefined) return this.make({ ...wanted, mark: undefined }, caller);
    const { files, stdin, rest } = brought;
    const digest = await digestOf({ ...input, requestId: undefined, files, stdin, ...rest });
    const mark = { id: spec.requestId, digest };
    return this.requests.once(wanted.owner, mark, caller, (allGone) =>
      this.make({ ...wanted, mark }, allGone),
    );
  }

  private async make(wanted: Wanted, caller: AbortSignal): Promise<MadeTask> {
    this.stopping.signal.throwIfAborted();
    const { spec } = wanted;
    const giveBack = this.unstarted.reserve(spec);
    const given = new AbortController();
    const giveUp = (): void => given.abort(caller.reason);
    if (caller.aborted) giveUp();
    caller.addEventListener("abort", giveUp, { once: true });
    const attempt = this.attempt(wanted, giveBack, given.signal);
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
    for (const cgroup of orphans) void this.insist(() => takeDown(cgroup));
    const parts = unanswered.map((record) => ({
      uuid: record.uuid,
      directories: this.allocs.joinAgain(record),
      unreserve: this.registry.reserveAgain(record.allocId, record.taskName),
    }));
    await Promise.all(
      parts.map(({ uuid, directories, unreserve }) => this.takeAway(uuid, directories, unreserve)),
    );
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
    for (const given of this.configuring.values()) given.abort(stoppingError());
    await Promise.allSettled(this.configuring.keys());
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

  private async attempt(wanted: Wanted, giveBack: () => void, signal: AbortSignal): Promise<MadeTask> {
    const { users, sandboxes, records, log, cgroups } = this.parts;
    const { spec, brought } = wanted;
    const unenforced = [...this.parts.unenforced, ...unenforcedTimes(spec, cgroups)];
    const [user, mounts] = await Promise.all([users.lookup(spec), this.plans.of(spec)]);
    if (unenforced.length > 0 && !spec.allowUnenforced) throw unenforceable(unenforced);
    await this.allocs.settled(spec.allocId);
    signal.throwIfAborted();

    const uuid = uuid7();
    const undo = new Undo();
    try {
      const unreserve = this.registry.reserve(spec.allocId, spec.taskName);
      this.expiredDirs?.hold(spec);
      const directories = this.allocs.join(spec);
      undo.add(() =>
        this.takeAway(uuid, directories, () => {
          unreserve();
          void this.expiredDirs?.release(spec);
        }),
      );
      const [journal, cgroup] = await allDone([
        this.beginJournal(uuid, wanted, unenforced, directories),
        this.createCgroup(uuid, undo),
      ]);
      const sandbox = await sandboxes.create(
        {
          uid: user.uid,
          gid: user.gid,
          groups: user.groups,
          allocId: spec.allocId,
          taskName: spec.taskName,
          recordDir: records.directoryOf(uuid),
          workDir: spec.workDir,
          ownNetwork: spec.network === "none",
          mounts,
          cgroup,
          timeoutNs: spec.timeoutNs,
          cpuTimeNs: cgroup?.cpuTimeFile === undefined ? undefined : spec.cpuTimeNs,
          files: brought.files,
          stdin: brought.stdin,
        },
        signal,
      );
      undo.add(async () => {
        sandbox.killInit();
        await sandbox.ended;
      });
      const { processes } = sandbox;
      const id = cgroup === undefined ? pidTaskId(processes.initPid, uuid) : cgroupTaskId(cgroup.path);
      await journal.note({ id, cgroup: cgroup?.path, processes });
      signal.throwIfAborted();
      directories.keep();
      const release = releaser(this.parts, journal.known, cgroup, this.stopping.signal);
      const task = Task.configured({ journal, sandbox, cgroup, log, release }, { spec, user, giveBack });
      void task.ended.then(giveBack);
      this.registry.add(task);
      this.requests.remember(task.record);
      void Promise.all([task.ended, brought.nameHeld]).then(unreserve);
      this.dropUnlessStarted(task);
      return { id, unenforced };
    } catch (error) {
      await undo.run((failure) => log.error("cannot undo a step of Configure", { error: failure }));
      if (error instanceof HelperGone) throw helperGone(error);
      if (error instanceof HelperFault) throw sandboxFailed(error.fault, mounts);
      throw hostExhausted(error, "make the task's record or cgroup") ?? error;
    }
  }

  private async createCgroup(uuid: string, undo: Undo): Promise<TaskCgroup | undefined> {
    const cgroup = await this.parts.cgroups?.create(uuid);
    if (cgroup === undefined) return undefined;
    undo.add(() => this.insist(() => takeDown(cgroup)));
    return cgroup;
  }

  /**
   * What a Configure has made of directories, and then its record: by it the next daemon takes away what this one
   * could not. Nobody gets the task's name before that is done, and `done` called.
   */
  private takeAway(uuid: string, directories: AllocPart, done: () => void): Promise<void> {
    return this.insist(async () => {
      await directories.takeAway();
      await this.parts.records.remove(uuid);
      done();
    });
  }

  /** What cannot be taken back at once, in want of a descriptor perhaps, keeps no caller waiting, and is tried again. */
  private async insist(step: () => Promise<void>): Promise<void> {
    const report = (error: unknown): void =>
      this.parts.log.error("something of a task that has not come to be is left", { error });
    await step().catch((error: unknown) => {
      report(error);
      void persist(step, report, this.stopping.signal);
    });
  }

  /** On disk before anything is made, so that the next daemon can take it away. */
  private async beginJournal(
    uuid: string,
    { spec, owner, mark }: Wanted,
    unenforced: readonly Unenforced[],
    directories: AllocPart,
  ): Promise<Journal> {
    const { records, bootId } = this.parts;
    const { allocId, taskName, labels, chrootMethod } = spec;
    const [found] = await allDone([directories.look(), records.create(uuid)]);
    const journal = new Journal(
      {
        id: "",
        uuid,
        allocId,
        taskName,
        labels,
        request: mark === undefined ? undefined : { ...mark, unenforced },
        owner,
        chrootMethod,
        cgroup: undefined,
        configuredNs: BigInt(Date.now()) * 1_000_000n,
        bootId,
        processes: undefined,
        found,
        limits: {},
        cause: undefined,
        killSent: false,
        graceEndsNs: undefined,
        exit: undefined,
      },
      records,
    );
    await journal.note({});
    return journal;
  }

  /** The record last: until then the next daemon finds what is to go with it. False: the daemon has stopped before. */
  private async forget({ id, uuid, record }: Task): Promise<boolean> {
    this.requests.forget(record);
    const { records, log } = this.parts;
    const report = (error: unknown): void => log.error("cannot remove an expired record", { id, error });
    if ((await this.expiredDirs?.expire(record)) === false) return false;
    return persist(() => records.remove(uuid), report, this.stopping.signal);
  }

  private dropUnlessStarted(task: Task): void {
    const timer = setTimeout(() => {
      if (task.state === "configured") void task.kill("never_started");
    }, this.parts.unstartedTtlMs);
    timer.unref();
    void task.ended.then(() => clearTimeout(timer));
  }
}

async function takeDown(cgroup: TaskCgroup): Promise<void> {
  await cgroup.kill();
  await cgroup.remove();
}

function helperGone(cause: HelperGone): TaskError {
  return new TaskError({ reason: "HELPER_GONE", message: "the daemon's helper was lost on the way", cause });
}

function stoppingError(): TaskError {
  return new TaskError({ reason: "STOPPING", message: "the daemon is stopping" });
}

/** As Promise.all, but rejects only when all have settled: nothing is still being made then. */
async function allDone<T extends readonly Promise<unknown>[] | []>(
  promises: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
