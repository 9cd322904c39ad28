import { allocIdOf } from "../access/alloc-name.js";
import type { Exit } from "../exit.js";
import type { Limits } from "../limits.js";
import type { Labels } from "../request/labels.js";
import type { Task, TaskState } from "../task.js";

/** What is told of a task. Times: nanoseconds since the epoch. */
export interface TaskView {
  readonly id: string;
  readonly allocId: string;
  readonly taskName: string;
  readonly state: TaskState;
  readonly labels: Labels;
  readonly configuredNs: bigint;
  /** When exec succeeded; undefined: it has not, or nobody knows. */
  readonly startedNs: bigint | undefined;
  /** Of the main process; undefined: it does not run. */
  readonly pid: number | undefined;
  /** Those that have been set, as asked for. */
  readonly limits: Limits;
  /** Set once the state is "ended". */
  readonly exit: Exit | undefined;
}

export function viewOf(task: Task): TaskView {
  const { id, taskName, labels, configuredNs, limits } = task.record;
  const { state, startedNs, pid, finalExit: exit } = task;
  const allocId = allocIdOf(task.record.allocId);
  return { id, allocId, taskName, state, labels, configuredNs, startedNs, pid, limits, exit };
}
