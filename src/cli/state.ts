import { TaskState } from "../client/index.js";

/** Where a task is in its life, for people: "running". */
export function stateInWords(state: TaskState): string {
  return (TaskState[state] as string | undefined)?.replace(/^TASK_STATE_/, "").toLowerCase() ?? "?";
}
