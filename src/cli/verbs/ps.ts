/** `stockade ps`: which tasks there are. */
import { TaskState, toTaskEnd, type ListFields, type Task } from "../../client/index.js";
import type { Verb } from "../context.js";
import { parseMixed } from "../flags.js";
import { toLabels } from "../labels.js";
import { OUTPUT_FLAG, toOutputForm } from "../output-form.js";
import { printableJson } from "../printable.js";
import { endedInWords, stateInWords, timeInWords } from "../state.js";
import { table } from "../table.js";
import { taskJson } from "../task-json.js";
import { uuidOf } from "../task-name.js";
import { UsageError } from "../usage-error.js";
import { write } from "../write.js";

const FLAGS = {
  all: { type: "boolean", short: "a" },
  alloc: { type: "string" },
  label: { type: "string", short: "l", multiple: true },
  quiet: { type: "boolean", short: "q" },
  ...OUTPUT_FLAG,
} as const;

const ALIVE = [TaskState.TASK_STATE_CONFIGURED, TaskState.TASK_STATE_RUNNING, TaskState.TASK_STATE_PAUSED];

export const ps: Verb = {
  synopsis: "ps [flags]",
  summary: "list tasks",
  help: `  -a, --all                those that have ended, too
      --alloc NAME         those of one alloc
  -l, --label K=V          those that have the label
  -q, --quiet              their ids alone
  -o, --output json|table  (default: table)
`,
  async run(argv, { client, stdout, colour }) {
    const { flags, rest } = parseMixed(argv, FLAGS);
    if (rest.length > 0) throw new UsageError(`ps takes no arguments: '${rest.join(" ")}'`);
    const form = toOutputForm(flags);
    const wanted: ListFields = {
      states: flags.all === true ? [] : ALIVE,
      allocId: flags.alloc ?? "",
      labels: toLabels(flags.label ?? []),
    };
    const found: Task[] = [];
    for await (const task of client.listAll(wanted)) found.push(task);
    if (flags.quiet === true) await write(stdout, found.map(({ id }) => `${id}\n`).join(""));
    else if (form === "json") await write(stdout, `${printableJson(found.map(taskJson))}\n`);
    else await write(stdout, table(TITLES, found.map(row), colour));
    return 0;
  },
};

const TITLES = ["TASK", "ALLOC", "NAME", "STATE", "CONFIGURED", "LABELS"];

function row({ id, allocId, taskName, state, exit, configuredAt, labels }: Task): string[] {
  return [
    uuidOf(id),
    allocId,
    taskName,
    exit === undefined ? stateInWords(state) : endedInWords(toTaskEnd(exit)),
    timeInWords(configuredAt).replace(/\.\d+Z$/, "Z"),
    [...labels].map(([key, value]) => `${key}=${value}`).join(","),
  ];
}
