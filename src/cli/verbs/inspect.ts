/** `stockade inspect`: what is known of tasks. */
import { toTaskEnd, type Task } from "../../client/index.js";
import type { Verb } from "../context.js";
import { endRows } from "../end-table.js";
import { parseMixed } from "../flags.js";
import { OUTPUT_FLAG, toOutputForm } from "../output-form.js";
import { printableJson } from "../printable.js";
import { stateInWords, timeInWords } from "../state.js";
import { table } from "../table.js";
import { taskJson } from "../task-json.js";
import { tasks } from "../task-name.js";
import { write } from "../write.js";

export const inspect: Verb = {
  synopsis: "inspect [flags] TASK…",
  summary: "print all that is known of tasks",
  help: `  -o, --output json|table  (default: json)
`,
  async run(argv, context) {
    const { flags, rest } = parseMixed(argv, OUTPUT_FLAG);
    const form = toOutputForm(flags) ?? "json";
    const known: Task[] = [];
    for (const id of await tasks(rest, context)) {
      const { task } = await context.client.get(id);
      if (task !== undefined) known.push(task);
    }
    const { stdout, colour } = context;
    if (form === "json") await write(stdout, `${printableJson(known.map(taskJson))}\n`);
    else await write(stdout, known.map((task) => table(["WHAT", "IS"], rows(task), colour)).join("\n"));
    return 0;
  },
};

function rows(task: Task): string[][] {
  const { id, allocId, taskName, state, configuredAt, startedAt, pid, labels, limits, exit } = task;
  // How it ended tells of its start, too.
  const started = exit === undefined ? timeInWords(startedAt) : "";
  return [
    ["task", id],
    ["alloc", allocId],
    ["name", taskName],
    ["state", stateInWords(state)],
    ["configured", timeInWords(configuredAt)],
    ...(started === "" ? [] : [["started", started]]),
    ...(pid === 0 ? [] : [["pid", pid.toString()]]),
    ...[...labels].map(([key, value]) => ["label", `${key}=${value}`]),
    ...Object.entries(limits ?? {}).flatMap(([limit, value]) =>
      value === undefined ? [] : [["limit", `${limit} ${String(value)}`]],
    ),
    ...(exit === undefined ? [] : endRows(toTaskEnd(exit))),
  ];
}
