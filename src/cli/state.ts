import { TaskState, type TaskEnd } from "../client/index.js";
import { exitStatus } from "./exit-status.js";

/** Where a task is in its life, for people: "running". */
export function stateInWords(state: TaskState): string {
  return (TaskState[state] as string | undefined)?.replace(/^TASK_STATE_/, "").toLowerCase() ?? "?";
}

/** The same of one that has ended: "ended: exited (0)". */
export function endedInWords(end: TaskEnd): string {
  return `ended: ${end.reason.toLowerCase()} (${exitStatus(end)})`;
}
