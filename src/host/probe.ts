/**
 * Finds out what this host can do, by doing it: one whole sandbox is made and taken away
 * again before the daemon says that it can take tasks.
 */
import { HELPER_STEP_WORDS } from "../tasks/helper-step.js";
import { HelperFault, type CgroupHost, type RecordStore, type SandboxHost } from "../tasks/ports.js";
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

/** Throws CannotContain, with what to do, if a task cannot be contained here. */
export async function probeSandbox(
  sandboxes: SandboxHost,
  cgroups: CgroupHost | undefined,
  records: RecordStore,
  user: ProbeUser,
): Promise<void> {
  const uuid = uuid7();
  const allocId = `probe-${uuid}`;
  const recordDir = await records.create(uuid);
  const cgroup = await cgroups?.create(uuid);
  try {
    const sandbox = await sandboxes.create(
      {
        ...user,
        groups: [],
        allocId,
        taskName: "probe",
        recordDir,
        workDir: "/local",
        ownNetwork: true,
        mounts: [],
        cgroup,
      },
      new AbortController().signal,
    );
    sandbox.killInit();
    await sandbox.ended;
  } catch (error) {
    if (error instanceof HelperFault) throw new CannotContain(explain(error), error);
    throw error;
  } finally {
    await sandboxes.remove("alloc", allocId, "probe").catch(() => undefined);
    await cgroup?.kill();
    await cgroup?.remove();
    await records.remove(uuid);
  }
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
