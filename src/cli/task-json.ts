/** Tasks for programs, as they have them of the API by other tools. */
import { Task, type Duration } from "../client/index.js";

/** What was made of the messages writes a span of time as two numbers, and none as an empty object. */
export function taskJson(task: Task): unknown {
  const json = Task.toJSON(task) as { exit?: { usage?: Record<string, unknown> } };
  const usage = json.exit?.usage;
  for (const name of ["cpuUser", "cpuSystem"] as const) {
    const span = task.exit?.usage?.[name];
    if (usage !== undefined && span !== undefined) usage[name] = inSeconds(span);
  }
  return json;
}

/** "1.5s", as messages have it in JSON. */
function inSeconds({ seconds, nanos }: Duration): string {
  const fraction = nanos.toString().padStart(9, "0").replace(/0+$/, "");
  return `${seconds}${fraction === "" ? "" : `.${fraction}`}s`;
}
