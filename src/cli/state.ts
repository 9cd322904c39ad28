import { TaskState, type TaskEnd, type Timestamp } from "../client/index.js";
import { exitStatus } from "./exit-status.js";

/** Where a task is in its life, for people: "running". */
export function stateInWords(state: TaskState): string {
  return (TaskState[state] as string | undefined)?.replace(/^TASK_STATE_/, "").toLowerCase() ?? "?";
}

/** The same of one that has ended: "ended: exited (0)". */
export function endedInWords(end: TaskEnd): string {
  return `ended: ${end.reason.toLowerCase()} (${exitStatus(end)})`;
}

/** When something was, by the host's clock; empty: it was not, or nobody knows. */
export function timeInWords(at: Timestamp | undefined): string {
  return at === undefined ? "" : new Date(Number(at.seconds) * 1000 + at.nanos / 1e6).toISOString();
}
