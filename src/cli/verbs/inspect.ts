/** `stockade inspect`: what is known of tasks. */
import { Task } from "../../client/index.js";
import type { Verb } from "../context.js";
import { parseMixed } from "../flags.js";
import { printableJson } from "../printable.js";
import { tasks } from "../task-name.js";
import { write } from "../write.js";

export const inspect: Verb = {
  synopsis: "inspect TASK…",
  summary: "print all that is known of tasks, as JSON",
  help: "",
  async run(argv, context) {
    const { rest } = parseMixed(argv, {});
    const known = [];
    for (const id of await tasks(rest, context)) {
      const { task } = await context.client.get(id);
      if (task !== undefined) known.push(Task.toJSON(task));
    }
    await write(context.stdout, `${printableJson(known)}\n`);
    return 0;
  },
};
