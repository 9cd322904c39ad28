/** Which task is meant. */
import { TaskState, type Task } from "../client/index.js";
import type { Context } from "./context.js";
import { UsageError } from "./usage-error.js";

/** How much of a uuid is enough to be taken for one. */
const UUID_PART = /^[0-9a-f][0-9a-f-]{7,35}$/;

const WHICH = "which task is meant?";

/** The part of an id that no other task has. */
export function uuidOf(id: string): string {
  return id.split(/[:/]/).at(-1) ?? id;
}

/** The ids of the tasks that are named. Throws a UsageError. */
export async function tasks(names: readonly string[], context: Context): Promise<string[]> {
  if (names.length === 0) throw new UsageError(WHICH);
  const ids = [];
  for (const name of names) ids.push(await idOf(name, context));
  return ids;
}

/** The one that is named, by its id, its uuid or the beginning of that, its name, or alloc and name: "web/task". */
export async function oneTask(names: readonly string[], context: Context): Promise<string> {
  const [name, ...more] = names;
  if (name === undefined) throw new UsageError(WHICH);
  if (more.length > 0) throw new UsageError("one task at a time, please");
  return idOf(name, context);
}

async function idOf(name: string, { client }: Context): Promise<string> {
  // Looked for, too: what goes on over lost connections would wait for a daemon that was never there.
  if (/^(CGROUP|PID):/.test(name)) return (await client.get(name)).task?.id ?? name;
  const [named, begun]: [Task[], Task[]] = [[], []];
  for await (const task of client.listAll()) {
    if (isCalled(task, name)) named.push(task);
    else if (UUID_PART.test(name) && uuidOf(task.id).startsWith(name)) begun.push(task);
  }
  const alive = named.filter(({ state }) => state !== TaskState.TASK_STATE_ENDED);
  // Of those that have ended the last one is meant: a name can be used again. An id is of one task, and none is guessed.
  const found = named.length === 0 ? begun : alive.length === 0 ? named.slice(-1) : alive;
  const [task, ...others] = found;
  if (task === undefined) {
    throw new Error(`no task is called '${name}'; 'stockade ps -a' lists those that there are`);
  }
  if (others.length > 0) {
    throw new Error(
      named.length === 0
        ? `the ids of ${found.length} tasks begin with '${name}'; 'stockade ps -a' has them whole`
        : `${found.length} tasks that run are called '${name}'; 'stockade ps' has their ids`,
    );
  }
  return task.id;
}

function isCalled({ allocId, taskName }: Task, name: string): boolean {
  return name === taskName || name === `${allocId}/${taskName}`;
}
