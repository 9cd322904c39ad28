/** Of what is told of tasks, between the messages of the API and the types of `src/tasks`. */
import { TaskState, type ListRequest, type Task } from "../gen/executor/v1/executor.js";
import { invalidField } from "../tasks/errors.js";
import { STATES_MAX, type ListedState, type ListInput } from "../tasks/listing/list-query.js";
import type { TaskView } from "../tasks/listing/task-view.js";
import { fromExit, fromLimits, fromState, timestamp } from "./convert.js";

export function toListInput(request: ListRequest): ListInput {
  const { states, labels, allocId, pageSize, pageToken } = request;
  if (states.length > STATES_MAX) throw invalidField("states", `states are more than ${STATES_MAX}`);
  return {
    states: states.map((state, index) => toListedState(state, `states[${index}]`)),
    labels,
    allocId,
    pageSize,
    pageToken,
  };
}

function toListedState(state: TaskState, field: string): ListedState {
  switch (state) {
    case TaskState.TASK_STATE_CONFIGURED:
      return "configured";
    case TaskState.TASK_STATE_RUNNING:
      return "running";
    case TaskState.TASK_STATE_PAUSED:
      return "paused";
    case TaskState.TASK_STATE_ENDED:
      return "ended";
    case TaskState.TASK_STATE_UNSPECIFIED:
    case TaskState.UNRECOGNIZED:
    default:
      throw invalidField(field, `${field} is no state that a task can be in`);
  }
}

export function fromView(view: TaskView): Task {
  const { id, allocId, taskName, state, labels, configuredNs, startedNs, pid, limits, exit } = view;
  return {
    id,
    allocId,
    taskName,
    state: fromState(state),
    labels: new Map(labels),
    configuredAt: timestamp(configuredNs),
    startedAt: startedNs === undefined ? undefined : timestamp(startedNs),
    pid: pid ?? 0,
    limits: Object.keys(limits).length === 0 ? undefined : fromLimits(limits),
    exit: exit === undefined ? undefined : fromExit(exit),
  };
}
