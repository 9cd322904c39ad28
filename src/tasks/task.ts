/**
 * One task from its sandbox to its end.
 *
 * States: configured → starting → running → ended. A task ends when its processes have, init the last,
 * whatever made that happen; `finish` is the one place that cleans up, and `kill` the one
 * place that makes it happen. The first cause given before they had is the one on record.
 */
import { commandArguments } from "./request/arguments.js";
import { EarliestTimer } from "./concurrency/earliest-timer.js";
import { taskEnvironment } from "./request/environment.js";
import { TaskError } from "./errors.js";
import { commandNotExecutable } from "./fault-errors.js";
import type { EndCause, Exit, Usage } from "./exit.js";
import { limitFieldName } from "./request/limit-rules.js";
import type { LimitAnswer, LimitName, Limits } from "./limits.js";
import { Mutex } from "./concurrency/mutex.js";
import {
  HelperFault,
  LimitRefused,
  MemoryInUse,
  StartUnknown,
  type InitExit,
  type Log,
  type Sandbox,
  type TaskCgroup,
  type TaskRecord,
} from "./ports.js";
import type { TaskSpec } from "./request/spec.js";
import type { User } from "./ports-users.js";
import type { Journal, News, Start } from "./journal.js";
import { onceThereIsEnough } from "./shortage.js";
import { nameEnding } from "./verdict.js";
import { NO_CGROUP, unenforceable } from "./unenforced.js";
import { Waiters } from "./concurrency/waiters.js";
import { plainWord } from "./request/words.js";

export type TaskState = "configured" | "starting" | "running" | "ended";

/** How long init may take to drain, record and exit once its task has been killed, in milliseconds. */
const INIT_GRACE_MS = 1_000;

export interface TaskParts {
  readonly sandbox: Sandbox;
  readonly cgroup: TaskCgroup | undefined;
  readonly log: Log;
  readonly journal: Journal;
  /** Takes away what only the task needed, once nothing of it runs. Never rejects. */
  readonly release: () => Promise<void>;
}

/** What Start needs, and nothing after it: arguments and environment can be megabytes. */
export interface Launch {
  readonly spec: TaskSpec;
  readonly user: User;
  /** Called when they are needed no more; the end of the task says so too. */
  readonly giveBack: () => void;
}

export class Task {
  private current: TaskState = "configured";
  private exit: Exit | undefined;
  /** Its processes have ended; what is left of it is being read and removed. */
  private finishing = false;
  /** Settles when exec has succeeded or failed. */
  private executed: Promise<undefined> = Promise.resolve(undefined);
  private readonly limiting = new Mutex();
  private readonly waiters = new Waiters<Exit>();
  /** The end of the first grace period that a Shutdown has set. */
  private readonly grace = new EarliestTimer(() => void this.kill("shutdown_grace"));
  /** A kill that is under way: those who ask for another wait for the end with it. */
  private killing: Promise<void> | undefined;
  /** Settles when the cause is on record. */
  private causeNoted: Promise<void> = Promise.resolve();

  private readonly journal: Journal;

  /** Resolves, with how it ended, when nothing of the task is left. Never rejects. For calls there is `wait`. */
  readonly ended: Promise<Exit>;

  private constructor(
    private readonly parts: TaskParts,
    private launch: Launch | undefined,
    private begun: Start,
  ) {
    this.journal = parts.journal;
    if (begun.kind !== "never") this.current = "running";
    this.ended = parts.sandbox.exited.then((exit) => this.finish(exit));
    void this.ended.then((exit) => this.waiters.settle(exit));
    void this.helpInit();
  }

  /** One that waits for Start. */
  static configured(parts: TaskParts, launch: Launch): Task {
    return new Task(parts, launch, { kind: "never" });
  }

  /** One of an earlier daemon. What that one had begun to do to it is carried through. */
  static recovered(parts: TaskParts, begun: Start): Task {
    const task = new Task(parts, undefined, begun);
    const { exit, cause, graceEndsNs } = parts.journal.known;
    if (exit !== undefined) {
      task.finishing = true;
      if (exit.reason !== "NEVER_STARTED") task.current = "running";
    } else if (cause !== undefined) void task.kill(cause);
    else if (begun.kind === "never") void task.kill("never_started");
    else if (graceEndsNs !== undefined) task.grace.inAtMost(msUntil(graceEndsNs));
    return task;
  }

  get id(): string {
    return this.journal.known.id;
  }

  get uuid(): string {
    return this.journal.known.uuid;
  }

  get state(): TaskState {
    return this.current;
  }

  get record(): TaskRecord {
    return this.journal.known;
  }

  /** Resolves once it is not half cleaned up: it has not ended, or nothing of it is left. */
  async cleanedUp(): Promise<void> {
    if (this.finishing) await this.ended;
  }

  /** When exec succeeded, in nanoseconds since the epoch; undefined: it has not, or nobody knows. */
  get startedNs(): bigint | undefined {
    return this.exit?.startedNs ?? (this.begun.kind === "executed" ? this.begun.atNs : undefined);
  }

  /** Of the main process, on the host; undefined: it does not run. */
  get pid(): number | undefined {
    const runs = this.current === "running" && !this.finishing;
    return runs ? this.parts.sandbox.processes.commandPid : undefined;
  }

  /** Set once the state is "ended". */
  get finalExit(): Exit | undefined {
    return this.exit;
  }

  /** Makes the waiting process the command; resolves with its pid once exec has succeeded. */
  async start(): Promise<number> {
    this.refuseEnded();
    const { launch } = this;
    if (this.current !== "configured" || launch === undefined) {
      throw new TaskError({ reason: "ALREADY_STARTED", message: "the task has been started already" });
    }
    const { spec, user } = launch;
    const env = taskEnvironment({ ...spec, user: user.name, limits: this.journal.known.limits });
    let argv: readonly string[] = [];
    this.current = "starting";
    this.launch = undefined;
    try {
      argv = commandArguments(spec.command, env);
      const executed = this.parts.sandbox.start({ argv, env });
      this.executed = executed.then(
        () => undefined,
        () => undefined,
      );
      this.begun = await this.startOf(executed);
      this.journal.syncExit();
      launch.giveBack();
    } catch (error) {
      // Of what may have been started the end has come, and is not known either.
      const { oomKilled } = await (this.begun.kind === "unknown" ? this.wait() : this.kill("never_started"));
      if (error instanceof HelperFault && this.journal.known.cause === "never_started") {
        const program = argv[0] ?? programOf(spec);
        throw commandNotExecutable(error.fault, program, env.get("PATH") ?? "", oomKilled);
      }
      throw this.endedError(error);
    }
    // A task may have ended in the microsecond it was started: "ended" stays.
    if (this.state === "starting") this.current = "running";
    return this.parts.sandbox.processes.commandPid;
  }

  private async startOf(executed: ReturnType<Sandbox["start"]>): Promise<Start> {
    try {
      return { kind: "executed", atNs: (await executed).startedNs };
    } catch (error) {
      if (!(error instanceof StartUnknown)) throw error;
      const begun = await this.journal.startOf(this.parts.sandbox);
      if (begun.kind === "executed") return begun;
      this.begun = begun;
      throw error;
    }
  }

  /** Sets limits, all or none of those that this host can enforce. */
  limit(wanted: Limits, allowUnenforced: boolean): Promise<LimitAnswer> {
    return this.setLimits(wanted, allowUnenforced, () => ({}));
  }

  /** As `limit`, for the request that the task has come of, which is answered the same when it is repeated. */
  limitForRequest(wanted: Limits, allowUnenforced: boolean): Promise<LimitAnswer> {
    const { request } = this.journal.known;
    if (request === undefined) return this.limit(wanted, allowUnenforced);
    return this.setLimits(wanted, allowUnenforced, (limited) => ({ request: { ...request, limited } }));
  }

  private setLimits(
    wanted: Limits,
    allowUnenforced: boolean,
    newsOf: (answer: LimitAnswer) => News,
  ): Promise<LimitAnswer> {
    return this.limiting.run(async () => {
      this.refuseEnded();
      const { cgroup } = this.parts;
      const cannot = cgroup?.unenforceable(wanted) ?? withoutCgroup(wanted);
      const unenforced = [...cannot].map(([name, reason]) => ({
        name: limitFieldName(name),
        reason,
      }));
      if (unenforced.length > 0 && !allowUnenforced) throw unenforceable(unenforced);
      if (cgroup === undefined) {
        const answer = { effective: {}, unenforced };
        await this.note(newsOf(answer));
        return answer;
      }
      const taken = Object.fromEntries(
        Object.entries(wanted).filter(([name]) => !cannot.has(name as LimitName)),
      ) as Limits;
      try {
        if (Object.keys(taken).length > 0) await cgroup.setLimits(taken);
        const effective = await cgroup.readLimits();
        // Of a cgroup that goes meanwhile nothing is read, which would say that nothing is limited.
        this.refuseEnded();
        const answer = { effective, unenforced };
        await this.note({ limits: { ...this.journal.known.limits, ...taken }, ...newsOf(answer) });
        return answer;
      } catch (error) {
        this.refuseEnded();
        throw asLimitError(error);
      }
    });
  }

  /**
   * Resolves, with how it ended, when nothing of the task is left; rejects when its caller has gone before. Whoever
   * has gone is held by nothing of the task, which may run for years.
   */
  wait(caller?: AbortSignal): Promise<Exit> {
    return this.waiters.wait(caller);
  }

  /** Asks the main process to end; carried through whether or not its caller waits for that. */
  async shutdown(signal: number, graceMs: number, caller?: AbortSignal): Promise<Exit> {
    this.refuseEnded();
    if (graceMs === 0 || this.current === "configured") return this.kill("force_stop", caller);
    this.grace.inAtMost(graceMs);
    await this.note({
      graceEndsNs: earliest(this.journal.known.graceEndsNs, nsIn(graceMs)),
      killSent: this.journal.known.killSent || signal === SIGKILL,
    });
    // A signal that comes before exec would end the waiting process, which is not the command yet.
    await this.executed;
    await this.parts.sandbox.signal(signal);
    return this.wait(caller);
  }

  /** Kills every process of the task, whether or not its caller waits for that. */
  kill(cause: EndCause, caller?: AbortSignal): Promise<Exit> {
    // What has ended already ends of nothing that comes later, however long its cleanup takes.
    if (!this.finishing && this.journal.known.cause === undefined) this.causeNoted = this.note({ cause });
    if (this.current !== "ended") this.killing ??= this.killAll().finally(() => (this.killing = undefined));
    return this.wait(caller);
  }

  /** Init kills what has reached a time limit, but not what is frozen from outside. */
  private async helpInit(): Promise<void> {
    const { overrun, exited } = this.parts.sandbox;
    const reached =
      (await overrun) ??
      (await this.journal.overrun(exited).catch(this.report("watch the time limits", undefined)));
    if (reached !== undefined) void this.kill(reached);
  }

  /** Init, which records the end, only if it has not gone by itself a while after the last of the task's processes. */
  private async killAll(): Promise<void> {
    await this.causeNoted;
    if (this.current === "configured") {
      this.parts.sandbox.killInit();
      return;
    }
    await this.killProcesses();
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), INIT_GRACE_MS);
    await this.wait(patience.signal).catch(() => this.parts.sandbox.killInit());
    clearTimeout(timer);
  }

  /** The task's cgroup first: init, outside it, drains the output and records the end. */
  private async killProcesses(): Promise<void> {
    try {
      if (this.parts.cgroup === undefined) await this.parts.sandbox.signal(SIGKILL);
      else await this.parts.cgroup.kill();
    } catch (error) {
      // Init kills the others when that one has gone, and tells of its end; where it does not, it is killed soon.
      this.parts.log.error("cannot kill a task's cgroup; killing its main process", { id: this.id, error });
      await this.parts.sandbox.signal(SIGKILL).catch(this.report("kill the main process", false));
    }
  }

  /** Runs once, when nothing in the task's pid namespace is alive but init, which is on its way out or gone. */
  private async finish(said: InitExit | undefined): Promise<Exit> {
    this.finishing = true;
    this.grace.cancel();
    const exit = this.journal.known.exit ?? (await this.recordEnd(said));
    await this.parts.sandbox.ended;
    await this.parts.release();
    this.exit = exit;
    this.current = "ended";
    this.launch = undefined;
    return exit;
  }

  /** On record before the cgroup goes: what is not, the next daemon finds there. */
  private async recordEnd(said: InitExit | undefined): Promise<Exit> {
    // What it says is not the last that it had written.
    const init = this.begun.kind === "unknown" ? undefined : (said ?? (await this.journal.readExit()));
    const { cgroup } = this.parts;
    const ofChildren = init === undefined ? {} : usageOfChildren(init);
    if (cgroup === undefined) return this.noteEnd(init, ofChildren, 0);
    const [usage, oomKills] = await this.readCounters(cgroup, ofChildren, 0);
    const exit = await this.noteEnd(init, usage, oomKills);
    if (await cgroup.removeIfEmpty().catch(this.report("remove the cgroup", false))) return exit;
    await cgroup.kill().catch(this.report("kill the leftovers", undefined));
    return this.noteEnd(init, ...(await this.readCounters(cgroup, usage, oomKills)));
  }

  private async noteEnd(init: InitExit | undefined, usage: Usage, oomKills: number): Promise<Exit> {
    const { cause, killSent } = this.journal.known;
    const never = init === undefined ? this.current === "configured" : !init.started;
    const exit = nameEnding({
      cause: never ? "never_started" : cause,
      exit: init,
      oomKills,
      startedNs: this.begun.kind === "executed" ? this.begun.atNs : init?.startedNs,
      usage,
      killSent,
      nowNs: BigInt(Date.now()) * 1_000_000n,
    });
    await this.note({ exit });
    return exit;
  }

  /**
   * Each on its own, so that one that cannot be read takes nothing from the other. A daemon that is out of descriptors
   * waits: without the count, what the kernel has killed for want of memory would have been killed by nobody.
   */
  private readCounters(cgroup: TaskCgroup, usage: Usage, oomKills: number): Promise<[Usage, number]> {
    return Promise.all([
      onceThereIsEnough(() => cgroup.readUsage()).catch(this.report("read the usage", usage)),
      onceThereIsEnough(() => cgroup.readOomKills()).catch(this.report("read the OOM count", oomKills)),
    ]);
  }

  /** What cannot be written, for want of room, keeps nobody from ending a task: it is written once there is room. */
  private async note(news: News): Promise<void> {
    try {
      await this.journal.note(news);
    } catch (error) {
      this.parts.log.error("cannot write the record of a task", { id: this.id, error });
      void this.journal.catchUp();
    }
  }

  private report<T>(what: string, otherwise: T): (error: unknown) => T {
    return (error) => {
      this.parts.log.error(`cannot ${what} of a task`, { id: this.id, error });
      return otherwise;
    };
  }

  private refuseEnded(): void {
    if (this.finishing || this.journal.known.cause !== undefined) throw this.endedError(undefined);
  }

  private endedError(cause: unknown): TaskError {
    return new TaskError({ reason: "ENDED", message: "the task has ended", cause });
  }
}

const SIGKILL = 9;

/** On CLOCK_MONOTONIC, which the next daemon reads too. */
function nsIn(ms: number): bigint {
  return process.hrtime.bigint() + BigInt(Math.round(ms)) * 1_000_000n;
}

function msUntil(ns: bigint): number {
  return Math.max(0, Number(ns - process.hrtime.bigint()) / 1e6);
}

function earliest(one: bigint | undefined, other: bigint): bigint {
  return one !== undefined && one < other ? one : other;
}

/** What to name where the arguments never came to be. */
function programOf({ command }: TaskSpec): string {
  return command.kind === "program" ? command.program : plainWord(command.words[0] ?? "");
}

function withoutCgroup(wanted: Limits): ReadonlyMap<LimitName, string> {
  return new Map(Object.keys(wanted).map((name) => [name as LimitName, NO_CGROUP]));
}

function usageOfChildren(init: InitExit): Usage {
  return {
    cpuUserUs: init.cpuUserUs,
    cpuSystemUs: init.cpuSystemUs,
    memoryPeakBytes: init.memoryPeakBytes,
  };
}

function asLimitError(error: unknown): unknown {
  if (error instanceof MemoryInUse) {
    return new TaskError({
      reason: "MEMORY_IN_USE",
      message: `memory_bytes is ${error.limitBytes}, and the task uses ${error.usedBytes} bytes that cannot be reclaimed`,
      metadata: { used_bytes: String(error.usedBytes), limit_bytes: String(error.limitBytes) },
      cause: error,
    });
  }
  if (error instanceof LimitRefused) {
    const field = `resources.${limitFieldName(error.limit)}`;
    return new TaskError({
      reason: "LIMIT_REFUSED",
      field,
      message: `${field} cannot be set: ${error.why}`,
      metadata: { errno: error.errno },
      cause: error,
    });
  }
  return error;
}
