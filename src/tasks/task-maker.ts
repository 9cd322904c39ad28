/** How a task comes to be: all of it, or nothing. */
import type { Owner } from "./access/identity.js";
import type { AllocDirs, AllocPart } from "./alloc-dirs.js";
import { turns } from "./concurrency/fair-turns.js";
import { persist } from "./concurrency/persist.js";
import { Undo } from "./concurrency/undo.js";
import { TaskError } from "./errors.js";
import type { ExpiredDirs } from "./expired-dirs.js";
import { hostExhausted, sandboxFailed } from "./fault-errors.js";
import type { RequestMark } from "./idempotency/request-id.js";
import type { MadeTask, RequestIds } from "./idempotency/request-ids.js";
import { Journal } from "./journal.js";
import {
  HelperFault,
  HelperGone,
  type CgroupHost,
  type FileSpec,
  type HostPaths,
  type Log,
  type RecordStore,
  type SandboxHost,
  type TaskCgroup,
  type TaskRecord,
} from "./ports.js";
import type { UserDirectory } from "./ports-users.js";
import type { Registry } from "./registry.js";
import { releaser } from "./release.js";
import { MountPlans } from "./request/mount-plans.js";
import type { AllowedPath } from "./request/policy.js";
import type { TaskSpec } from "./request/spec.js";
import { cgroupTaskId, pidTaskId } from "./task-id.js";
import { Task } from "./task.js";
import { unenforcedTimes } from "./time-limits.js";
import { unenforceable, type Unenforced } from "./unenforced.js";
import { UnstartedBytes } from "./unstarted-bytes.js";
import { uuid7 } from "./uuid.js";

export interface TaskMakerParts {
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
  /** How long a task may wait for Start, in milliseconds. */
  readonly unstartedTtlMs: number;
  /** How many bytes the requests of tasks that wait for Start may hold. */
  readonly unstartedBytes: number;
  /** Of this boot: /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
}

/** Where a task is entered that has come to be. */
export interface Books {
  readonly allocs: AllocDirs;
  /** Undefined: what tasks have left in their alloc directories stays. */
  readonly expiredDirs: ExpiredDirs | undefined;
  readonly registry: Registry;
  readonly requests: RequestIds;
}

/** What a task gets beside what Configure asks for. */
export interface Brought {
  readonly files: readonly FileSpec[];
  /** Undefined: /dev/null. */
  readonly stdin: Uint8Array | undefined;
  /** Of the task that has ended: until it settles nobody gets its name, and its directory. Never rejects. */
  readonly nameHeld: (task: Task) => Promise<void>;
  /** What else the request holds, so that another is never taken for a repetition of it. */
  readonly rest: object;
}

/** A task that is to be made. */
export interface WantedTask {
  readonly spec: TaskSpec;
  readonly brought: Brought;
  /** Whose it is to be; undefined: the host's own administrator's. */
  readonly owner: Owner | undefined;
  /** Undefined: the request cannot be repeated. */
  readonly mark: RequestMark | undefined;
}

export class TaskMaker {
  private readonly plans: MountPlans;
  private readonly unstarted: UnstartedBytes;
  /** What each that is under way is given up with. */
  private readonly making = new Map<Promise<unknown>, AbortController>();

  /** @param stopping fires when nothing is to be made any more */
  constructor(
    private readonly parts: TaskMakerParts,
    private readonly books: Books,
    private readonly stopping: AbortSignal,
  ) {
    this.plans = new MountPlans(parts.allowedPaths, parts.paths);
    this.unstarted = new UnstartedBytes(parts.unstartedBytes);
    stopping.addEventListener(
      "abort",
      () => {
        for (const given of this.making.values()) given.abort(stopping.reason);
      },
      { once: true },
    );
  }

  /** Also where the caller goes, or the daemon stops, on the way, nothing is left. */
  async make(wanted: WantedTask, caller: AbortSignal): Promise<MadeTask> {
    this.stopping.throwIfAborted();
    const { spec } = wanted;
    const giveBack = this.unstarted.reserve(spec);
    const given = new AbortController();
    const giveUp = (): void => given.abort(caller.reason);
    if (caller.aborted) giveUp();
    caller.addEventListener("abort", giveUp, { once: true });
    const attempt = this.attempt(wanted, giveBack, given.signal);
    this.making.set(attempt, given);
    try {
      return await attempt;
    } catch (error) {
      giveBack();
      throw error;
    } finally {
      caller.removeEventListener("abort", giveUp);
      this.making.delete(attempt);
    }
  }

  /** After `stopping`: resolves when all that was under way has come to be, or is taken away. */
  async stopped(): Promise<void> {
    await Promise.allSettled(this.making.keys());
  }

  /** What a former daemon's Configure has left that nobody was answered. */
  takeAwayAgain(record: TaskRecord): Promise<void> {
    const unreserve = this.books.registry.reserveAgain(record.allocId, record.taskName);
    return this.takeAway(record.uuid, this.books.allocs.joinAgain(record), unreserve);
  }

  /** Kills what is in it, and removes it. */
  takeDown(cgroup: TaskCgroup): Promise<void> {
    return this.insist(async () => {
      await cgroup.kill();
      await cgroup.remove();
    });
  }

  private async attempt(wanted: WantedTask, giveBack: () => void, signal: AbortSignal): Promise<MadeTask> {
    const { users, sandboxes, records, log, cgroups } = this.parts;
    const { spec, brought } = wanted;
    const unenforced = [...this.parts.unenforced, ...unenforcedTimes(spec, cgroups)];
    const [user, mounts] = await Promise.all([users.lookup(spec), this.plans.of(spec)]);
    if (unenforced.length > 0 && !spec.allowUnenforced) throw unenforceable(unenforced);
    await this.books.allocs.settled(spec.allocId);
    // Those who have waited for one look at the host would all go on in one turn.
    await turns.enter();
    signal.throwIfAborted();

    const uuid = uuid7();
    const undo = new Undo();
    try {
      const unreserve = this.books.registry.reserve(spec.allocId, spec.taskName);
      this.books.expiredDirs?.hold(spec);
      const directories = this.books.allocs.join(spec);
      undo.add(() =>
        this.takeAway(uuid, directories, () => {
          unreserve();
          void this.books.expiredDirs?.release(spec);
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
      const release = releaser(this.parts, journal.known, cgroup, this.stopping);
      const task = Task.configured({ journal, sandbox, cgroup, log, release }, { spec, user, giveBack });
      void task.ended.then(giveBack);
      this.books.registry.add(task);
      this.books.requests.remember(task.record);
      void task.ended.then(() => brought.nameHeld(task)).then(unreserve);
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
    undo.add(() => this.takeDown(cgroup));
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
      void persist(step, report, this.stopping);
    });
  }

  /** On disk before anything is made, so that the next daemon can take it away. */
  private async beginJournal(
    uuid: string,
    { spec, owner, mark }: WantedTask,
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
        request: mark === undefined ? undefined : { ...mark, unenforced, limited: undefined },
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

  private dropUnlessStarted(task: Task): void {
    const timer = setTimeout(() => {
      if (task.state === "configured") void task.kill("never_started");
    }, this.parts.unstartedTtlMs);
    timer.unref();
    void task.ended.then(() => clearTimeout(timer));
  }
}

function helperGone(cause: HelperGone): TaskError {
  return new TaskError({ reason: "HELPER_GONE", message: "the daemon's helper was lost on the way", cause });
}

/** As Promise.all, but rejects only when all have settled: nothing is still being made then. */
async function allDone<T extends readonly Promise<unknown>[] | []>(
  promises: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
