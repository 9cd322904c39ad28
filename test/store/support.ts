import { mkdtempSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { nodeDisk, type Disk } from "../../src/store/disk";
import type { Exit } from "../../src/tasks/exit";
import type { Log, TaskRecord } from "../../src/tasks/ports";

export const UUID_A = "0198c3d2-0000-7000-8000-00000000000a";
export const UUID_B = "0198c3d2-0000-7000-8000-00000000000b";

/** Of a task that runs in a cgroup, with a value in every field that it can have. */
export function recordOf(uuid: string, more: Partial<TaskRecord> = {}): TaskRecord {
  return {
    id: `CGROUP:/stockade/${uuid}`,
    uuid,
    allocId: "web.1",
    taskName: "server",
    labels: new Map(),
    request: undefined,
    owner: undefined,
    chrootMethod: "bind",
    cgroup: `/stockade/${uuid}`,
    configuredNs: 1_795_800_000_123_456_789n,
    bootId: "6f0c9a52-3d3e-4a55-9d0e-0f3a1c2b4d5e",
    processes: { initPid: 4711, initStartTicks: 123_456n, commandPid: 4712, commandStartTicks: 123_457n },
    found: { alloc: true, task: false },
    limits: {},
    cause: undefined,
    killSent: false,
    graceEndsNs: undefined,
    exit: undefined,
    ...more,
  };
}

export function exitOf(more: Partial<Exit> = {}): Exit {
  return {
    status: { kind: "exitCode", code: 7 },
    reason: "EXITED",
    oomKilled: false,
    coreDumped: false,
    startedNs: 1_795_800_001_000_000_000n,
    exitedNs: 1_795_800_002_000_000_000n,
    usage: {},
    stdoutDroppedBytes: 0n,
    stderrDroppedBytes: 0n,
    outputTruncated: false,
    ...more,
  };
}

export interface Logged {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class KeptLog implements Log {
  readonly infos: Logged[] = [];
  readonly errors: Logged[] = [];

  info(message: string, fields = {}): void {
    this.infos.push({ message, fields });
  }

  error(message: string, fields = {}): void {
    this.errors.push({ message, fields });
  }
}

/** The real disk, but for what is replaced. */
export function diskWith(replaced: Partial<Disk>): Disk {
  return { ...nodeDisk, ...replaced };
}

export function errorWith(code: string): Error {
  return Object.assign(new Error(`${code}: as a test wants it`), { code });
}

/** A state directory with an empty directory for records in it, for each test of a file. */
export function stateDirectory(): { readonly state: string; readonly tasks: string } {
  const made = { state: "", tasks: "" };
  beforeEach(() => {
    made.state = mkdtempSync(join(tmpdir(), "stockade-store-"));
    made.tasks = join(made.state, "tasks");
    mkdirSync(made.tasks);
  });
  afterEach(() => rmSync(made.state, { recursive: true }));
  return made;
}
