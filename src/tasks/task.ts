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
import type { Exit, Usage } from "./exit.js";
import { limitFieldName } from "./request/limit-rules.js";
import type { LimitName, Limits } from "./limits.js";
import { Mutex } from "./concurrency/mutex.js";
import {
  HelperFault,
  LimitRefused,
  MemoryInUse,
  type InitExit,
  type Log,
  type Sandbox,
  type TaskCgroup,
} from "./ports.js";
import type { TaskSpec } from "./request/spec.js";
import type { User } from "./ports-users.js";
import { nameEnding, type EndCause } from "./verdict.js";
import { unenforceable, type Unenforced } from "./unenforced.js";
import { Waiters } from "./concurrency/waiters.js";
import { plainWord } from "./request/words.js";

export type TaskState = "configured" | "starting" | "running" | "ended";

/** How long init may take to drain, record and exit once its task has been killed, in milliseconds. */
const INIT_GRACE_MS = 1_000;

export interface TaskParts {
  readonly id: string;
  readonly uuid: string;
  readonly sandbox: Sandbox;
  readonly cgroup: TaskCgroup | undefined;
  readonly log: Log;
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

export interface LimitAnswer {
  readonly effective: Limits;
  readonly unenforced: readonly Unenforced[];
}

export class Task {
  private current: TaskState = "configured";
  private cause: EndCause | undefined;
  private startedNs: bigint | undefined;
  private exit: Exit | undefined;
  /** A client has asked for SIGKILL: dying of it is no sign of the kernel's. */
  private killSent = false;
  /** Its processes have ended; what is left of it is being read and removed. */
  private finishing = false;
  /** Settles when exec has succeeded or failed. */
  private executed: Promise<undefined> = Promise.resolve(undefined);
  private limits: Limits = {};
  private readonly limiting = new Mutex();
  private readonly waiters = new Waiters<Exit>();
  /** The end of the first grace period that a Shutdown has set. */
  private readonly grace = new EarliestTimer(() => void this.kill("shutdown_grace"));
  /** A kill that is under way: those who ask for another wait for the end with it. */
  private killing: Promise<void> | undefined;

  /** Resolves, with how it ended, when nothing of the task is left. Never rejects. For calls there is `wait`. */
  readonly ended: Promise<Exit>;

  constructor(
    private readonly parts: TaskParts,
    private launch: Launch | undefined,
  ) {
    this.ended = parts.sandbox.exited.then((exit) => this.finish(exit));
    void this.ended.then((exit) => this.waiters.settle(exit));
  }

  get id(): string {
    return this.parts.id;
  }

  get uuid(): string {
    return this.parts.uuid;
  }

  get state(): TaskState {
    return this.current;
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
    const env = taskEnvironment({ ...spec, user: user.name, limits: this.limits });
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
      const { startedNs } = await executed;
      launch.giveBack();
      this.startedNs = startedNs;
    } catch (error) {
      await this.kill("never_started");
      if (error instanceof HelperFault && this.cause === "never_started") {
        throw commandNotExecutable(error.fault, argv[0] ?? programOf(spec), env.get("PATH") ?? "");
      }
      throw this.endedError(error);
    }
    // A task may have ended in the microsecond it was started: "ended" stays.
    if (this.state === "starting") this.current = "running";
    return this.parts.sandbox.commandPid;
  }

  /** Sets limits, all or none of those that this host can enforce. */
  limit(wanted: Limits, allowUnenforced: boolean): Promise<LimitAnswer> {
    return this.limiting.run(async () => {
      this.refuseEnded();
      const { cgroup } = this.parts;
      const cannot = cgroup?.unenforceable(wanted) ?? withoutCgroup(wanted);
      const unenforced = [...cannot].map(([name, reason]) => ({
        name: limitFieldName(name),
        reason,
      }));
      if (unenforced.length > 0 && !allowUnenforced) throw unenforceable(unenforced);
      if (cgroup === undefined) return { effective: {}, unenforced };
      const taken = Object.fromEntries(
        Object.entries(wanted).filter(([name]) => !cannot.has(name as LimitName)),
      ) as Limits;
      try {
        if (Object.keys(taken).length > 0) await cgroup.setLimits(taken);
        const effective = await cgroup.readLimits();
        // Of a cgroup that goes meanwhile nothing is read, which would say that nothing is limited.
        this.refuseEnded();
        this.limits = { ...this.limits, ...taken };
        return { effective, unenforced };
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
    // A signal that comes before exec would end the waiting process, which is not the command yet.
    await this.executed;
    if (signal === SIGKILL) this.killSent = true;
    await this.parts.sandbox.signal(signal);
    return this.wait(caller);
  }

  /** Kills every process of the task, whether or not its caller waits for that. */
  kill(cause: EndCause, caller?: AbortSignal): Promise<Exit> {
    // What has ended already ends of nothing that comes later, however long its cleanup takes.
    if (!this.finishing) this.cause ??= cause;
    if (this.current === "configured") this.parts.sandbox.killInit();
    else if (this.current !== "ended")
      this.killing ??= this.killAll().finally(() => (this.killing = undefined));
    return this.wait(caller);
  }

  /** Init, which records the end, only if it has not gone by itself a while after the last of the task's processes. */
  private async killAll(): Promise<void> {
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
      this.parts.log.error("cannot kill a task's processes; killing its init", {
        id: this.id,
        error,
      });
      this.parts.sandbox.killInit();
    }
  }

  /** Runs once, when nothing in the task's pid namespace is alive but init, which is on its way out or gone. */
  private async finish(init: InitExit | undefined): Promise<Exit> {
    this.finishing = true;
    this.grace.cancel();
    const { cause, killSent } = this;
    const { cgroup } = this.parts;
    const ofChildren = init === undefined ? {} : usageOfChildren(init);
    const [usage, oomKills] = cgroup === undefined ? [ofChildren, 0] : await this.readEnd(cgroup, ofChildren);
    await this.parts.sandbox.ended;
    await this.parts.release();
    const never = init === undefined ? this.current === "configured" : !init.started;
    this.exit = nameEnding({
      cause: never ? "never_started" : cause,
      exit: init,
      oomKills,
      startedNs: this.startedNs ?? (init?.started === true ? init.startedNs : undefined),
      usage,
      killSent,
      nowNs: BigInt(Date.now()) * 1_000_000n,
    });
    this.current = "ended";
    this.launch = undefined;
    return this.exit;
  }

  /**
   * Usage and OOM count, the last thing there is to know of a cgroup: each on its own, so that one that
   * cannot be read takes nothing from the other. What is left of it, if anything, is for `release`.
   */
  private async readEnd(cgroup: TaskCgroup, otherwise: Usage): Promise<readonly [Usage, number]> {
    const report =
      <T>(what: string, fallback: T) =>
      (error: unknown): T => {
        this.parts.log.error(`cannot ${what} of an ended task`, { id: this.id, error });
        return fallback;
      };
    const read = (usage: Usage, oomKills: number): Promise<[Usage, number]> =>
      Promise.all([
        cgroup.readUsage().catch(report("read the usage", usage)),
        cgroup.readOomKills().catch(report("read the OOM count", oomKills)),
      ]);
    const end = await read(otherwise, 0);
    if (await cgroup.removeIfEmpty().catch(report("remove the cgroup", false))) return end;
    await cgroup.kill().catch(report("kill the leftovers", undefined));
    return read(...end);
  }

  private refuseEnded(): void {
    if (this.finishing || this.cause !== undefined) throw this.endedError(undefined);
  }

  private endedError(cause: unknown): TaskError {
    return new TaskError({ reason: "ENDED", message: "the task has ended", cause });
  }
}

const SIGKILL = 9;

/** What to name where the arguments never came to be. */
function programOf({ command }: TaskSpec): string {
  return command.kind === "program" ? command.program : plainWord(command.words[0] ?? "");
}

function withoutCgroup(wanted: Limits): ReadonlyMap<LimitName, string> {
  const reason = "no cgroup can be made on this host by this daemon";
  return new Map(Object.keys(wanted).map((name) => [name as LimitName, reason]));
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
      message: `the kernel refuses the value of ${field}: ${error.errno}`,
      metadata: { errno: error.errno },
      cause: error,
    });
  }
  return error;
}
