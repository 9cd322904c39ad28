/**
 * The tasks of an earlier daemon, found by their records. Each is made a `Task` again, whatever has become of it: one
 * that has ended meanwhile is one whose sandbox is gone, and ends as any other.
 */
import { forEachAtMost } from "./concurrency/for-each-at-most.js";
import { Journal, type Start } from "./journal.js";
import type {
  CgroupHost,
  LoadedRecords,
  Log,
  RecordStore,
  Sandbox,
  SandboxHost,
  SandboxProcesses,
  TaskCgroup,
  TaskRecord,
  UnreadableRecord,
} from "./ports.js";
import { releaser } from "./release.js";
import { cgroupTaskId, pidTaskId } from "./task-id.js";
import { Task } from "./task.js";

/** How many tasks are worked on at one time. */
const AT_ONCE = 64;

export interface RecoveryParts {
  readonly sandboxes: SandboxHost;
  readonly cgroups: CgroupHost | undefined;
  readonly records: RecordStore;
  readonly log: Log;
  readonly bootId: string;
}

/** How many tasks there were. */
export interface Recovered {
  /** That run on. */
  readonly alive: number;
  /** That have ended, before or while no daemon was there. */
  readonly ended: number;
  /** Whose records cannot be read: nothing of them is left. */
  readonly lost: number;
  /** Whose Configure had not been answered: nothing of them is left. */
  readonly unanswered: number;
  /** Of a newer daemon, and left alone. */
  readonly newer: number;
}

export interface Found extends Omit<Recovered, "lost" | "unanswered"> {
  readonly tasks: readonly Task[];
  /** The ids of those whose records cannot be read. Nothing of them is left. */
  readonly lost: readonly string[];
  /** Cgroups that no record names, and that could not be removed. */
  readonly orphans: readonly TaskCgroup[];
  /** Nothing of them is alive; what they had made is there. */
  readonly unanswered: readonly TaskRecord[];
}

export async function recoverTasks(parts: RecoveryParts, stopping: AbortSignal): Promise<Found> {
  const { sandboxes, cgroups, records } = parts;
  const loaded = await records.load();
  const answered = loaded.records.filter(isAnswered);
  const alive = await attachAll(parts, answered);
  // Whatever no record names is killed, before anything that it may use is taken away.
  const named = namesOf(answered, loaded);
  const left = (await cgroups?.sweep(named)) ?? new Set<string>();
  if (loaded.newer.length === 0) await sandboxes.killStrays();
  const lost = await killLost(parts, loaded.unreadable);
  const unanswered = loaded.records.filter((record) => !isAnswered(record));
  await killUnanswered(parts, unanswered);
  const inUse = new Set(answered.filter(({ exit }) => exit === undefined).map(nameOf));
  const tasks: Task[] = [];
  await forEachAtMost(AT_ONCE, answered, async (record) => {
    const journal = new Journal(record, records);
    const cgroup = left.has(record.uuid) ? cgroups?.attach(record.uuid, record.limits) : undefined;
    const sandbox = alive.get(record.uuid) ?? goneSandbox(record.processes);
    const begun = record.exit === undefined ? await startOf(journal, sandbox, parts.bootId) : NO_MATTER;
    // What another run of its name has in the task's directory by now is not this one's.
    const isAnothers = record.exit !== undefined && inUse.has(nameOf(record));
    const release = isAnothers ? nothing : releaser(parts, record, cgroup, stopping);
    tasks.push(Task.recovered({ journal, sandbox, cgroup, log: parts.log, release }, begun));
  });
  return {
    tasks: tasks.sort(byEnd),
    lost,
    orphans: [...left].filter((name) => !named.has(name)).flatMap((name) => cgroups?.attach(name, {}) ?? []),
    unanswered,
    alive: alive.size,
    ended: tasks.length - alive.size,
    newer: loaded.newer.length,
  };
}

/** Of what has ended, the end is on record, and says it. */
const NO_MATTER: Start = { kind: "never" };

/** After another boot a start that is not on record may be one that a loss of power has taken from it. */
async function startOf(journal: Journal, sandbox: Sandbox, bootId: string): Promise<Start> {
  const begun = await journal.startOf(sandbox);
  return begun.kind === "never" && journal.known.bootId !== bootId ? { kind: "unknown" } : begun;
}

function nameOf({ allocId, taskName }: TaskRecord): string {
  return `${allocId}/${taskName}`;
}

const nothing = (): Promise<void> => Promise.resolve();

/** The oldest end first, which is the first to expire. What has no end on record yet is the last: nobody has been told. */
function byEnd({ record: one }: Task, { record: other }: Task): number {
  if (one.exit === undefined || other.exit === undefined) {
    return Number(one.exit === undefined) - Number(other.exit === undefined);
  }
  return Number(one.exit.exitedNs - other.exit.exitedNs);
}

type Answered = TaskRecord & { readonly processes: SandboxProcesses };

function isAnswered(record: TaskRecord): record is Answered {
  return record.processes !== undefined;
}

function namesOf(answered: readonly Answered[], { newer }: LoadedRecords): ReadonlySet<string> {
  return new Set([...answered.map(({ uuid }) => uuid), ...newer]);
}

/**
 * Kills what is left of tasks whose records cannot be read: where there are no cgroups, it is known by its init's hold
 * of the exit record. Resolves to the ids, as far as they can be known.
 */
async function killLost(
  { sandboxes, cgroups, log }: RecoveryParts,
  unreadable: readonly UnreadableRecord[],
): Promise<readonly string[]> {
  const ids: string[] = [];
  await forEachAtMost(AT_ONCE, unreadable, async ({ uuid, directory }) => {
    const initPid = await sandboxes.killHolder(directory).catch((error: unknown) => {
      log.error("cannot look for a task whose record cannot be read: it may run on", { uuid, error });
      return undefined;
    });
    if (cgroups !== undefined) ids.push(cgroupTaskId(cgroups.attach(uuid, {}).path));
    else if (initPid !== undefined) ids.push(pidTaskId(initPid, uuid));
  });
  return ids;
}

/** An init that nobody knew of yet goes with its launcher, which may be about to: nothing is made any more once it has. */
async function killUnanswered(
  { sandboxes, records, log }: RecoveryParts,
  unanswered: readonly TaskRecord[],
): Promise<void> {
  await forEachAtMost(AT_ONCE, unanswered, async ({ uuid }) => {
    await sandboxes.killHolder(records.directoryOf(uuid)).catch((error: unknown) => {
      log.error("cannot look for what a Configure has left", { uuid, error });
    });
  });
}

/** Pids of an earlier boot are other processes now. */
async function attachAll(
  { sandboxes, bootId }: RecoveryParts,
  answered: readonly Answered[],
): Promise<ReadonlyMap<string, Sandbox>> {
  const alive = new Map<string, Sandbox>();
  await forEachAtMost(AT_ONCE, answered, async ({ uuid, exit, bootId: ofBoot, processes }) => {
    if (exit !== undefined || ofBoot !== bootId) return;
    const sandbox = await sandboxes.attach(processes);
    if (sandbox !== undefined) alive.set(uuid, sandbox);
  });
  return alive;
}

function goneSandbox(processes: SandboxProcesses): Sandbox {
  return {
    processes,
    // What init has written of it is read with the end.
    overrun: new Promise(() => undefined),
    exited: Promise.resolve(undefined),
    ended: Promise.resolve(undefined),
    start: () => Promise.reject(new Error("the sandbox has gone")),
    signal: () => Promise.resolve(false),
    killInit: () => undefined,
  };
}
