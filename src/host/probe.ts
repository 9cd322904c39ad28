/**
 * Finds out what this host can do, by doing it: one whole sandbox is made and taken away
 * again before the daemon says that it can take tasks.
 */
import { Undo } from "../tasks/concurrency/undo.js";
import { exhaustion, isOfAllocDisk } from "../tasks/fault-errors.js";
import { HELPER_STEP_WORDS } from "../tasks/helper-step.js";
import {
  HelperFault,
  type CgroupHost,
  type Log,
  type RecordStore,
  type SandboxHost,
  type TaskRecord,
} from "../tasks/ports.js";
import { NO_TIME_LIMITS } from "../tasks/request/time-limits.js";
import { uuid7 } from "../tasks/uuid.js";

/** This host cannot contain a task. */
export class CannotContain extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = "CannotContain";
  }
}

export interface ProbeUser {
  readonly uid: number;
  readonly gid: number;
}

export interface ProbeParts {
  readonly sandboxes: SandboxHost;
  readonly cgroups: CgroupHost | undefined;
  readonly records: RecordStore;
  readonly log: Log;
  readonly user: ProbeUser;
  readonly bootId: string;
}

/**
 * Throws CannotContain, with what to do, if a task cannot be contained here. Where a disk is full, or the like, that
 * cannot be known yet, and those whose tasks run on are not to wait for it: each Configure finds out for itself.
 */
export async function probeSandbox(parts: ProbeParts): Promise<void> {
  try {
    await makeSandbox(parts);
  } catch (error) {
    if (error instanceof HelperFault && !isOfAllocDisk(error.fault))
      throw new CannotContain(explain(error), error);
    if (!(error instanceof HelperFault) && exhaustion(error) === undefined) throw error;
    parts.log.error("cannot try a sandbox, for want of something", { error });
  }
}

async function makeSandbox({ sandboxes, cgroups, records, log, user, bootId }: ProbeParts): Promise<void> {
  const uuid = uuid7();
  const allocId = `probe-${uuid}`;
  const undo = new Undo();
  try {
    undo.add(() => records.remove(uuid));
    await records.create(uuid);
    await records.write(unansweredRecord(uuid, allocId, bootId));
    const cgroup = await cgroups?.create(uuid);
    undo.add(async () => {
      await cgroup?.kill();
      await cgroup?.remove();
    });
    undo.add(() => sandboxes.remove("alloc", allocId, "probe").catch(() => undefined));
    const sandbox = await sandboxes.create(
      {
        ...user,
        groups: [],
        allocId,
        taskName: "probe",
        recordDir: records.directoryOf(uuid),
        workDir: "/local",
        ownNetwork: true,
        mounts: [],
        cgroup,
        ...NO_TIME_LIMITS,
        files: [],
        stdin: undefined,
      },
      new AbortController().signal,
    );
    sandbox.killInit();
    await sandbox.ended;
  } finally {
    await undo.run((error) => log.error("something of the sandbox that was tried is left", { error }));
  }
}

/** As of a task whose Configure is under way: should this daemon die, the next one takes away what there is. */
function unansweredRecord(uuid: string, allocId: string, bootId: string): TaskRecord {
  return {
    id: "",
    uuid,
    allocId,
    owner: undefined,
    taskName: "probe",
    labels: new Map(),
    request: undefined,
    chrootMethod: "bind",
    cgroup: undefined,
    configuredNs: BigInt(Date.now()) * 1_000_000n,
    bootId,
    processes: undefined,
    found: { alloc: false, task: false },
    limits: {},
    cause: undefined,
    killSent: false,
    graceEndsNs: undefined,
    exit: undefined,
  };
}

function explain({ fault }: HelperFault): string {
  const what = `this host cannot contain a task: cannot ${HELPER_STEP_WORDS[fault.step]}: ${fault.errno}`;
  if (process.geteuid?.() === 0) return what;
  return (
    `${what}. Without root, tasks need user namespaces: run the daemon as root, or allow them ` +
    `(sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 where it exists, ` +
    `kernel.apparmor_restrict_unprivileged_userns=0 where it exists)`
  );
}
