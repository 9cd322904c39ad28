/** How long a daemon takes to have the tasks of a killed one again. */
import { performance } from "node:perf_hooks";

import type { OwnDaemon } from "../src/cli/own-daemon.js";
import { freshTask } from "./cycle.js";
import { atOnce } from "./measure.js";
import { RECOVERY_MAX_S, type BenchOptions } from "./options.js";
import type { Resources } from "./resources.js";
import type { Row } from "./rows.js";

/** Tasks that are made at one time. */
const LANES = 8;

export async function measureRecovery(options: BenchOptions, resources: Resources): Promise<Row[]> {
  const { recoveredTasks } = options;
  const cgroupRoot = resources.cgroupName();
  const daemon = await resources.daemon({ cgroupRoot, config: { max_tasks: recoveredTasks } });
  const empty = await restart(daemon);
  await atOnce(LANES, recoveredTasks, async () => {
    const { id } = await daemon.client.configure({ ...freshTask(), command: "/bin/sleep", args: ["1000"] });
    await daemon.client.start(id);
  });
  const full = await restart(daemon);
  return [
    { key: "start_s", what: "start after SIGKILL, without a task", value: empty, unit: "s" },
    {
      key: "recovery_s",
      what: `  with ${recoveredTasks} that run: more than that by`,
      value: full - empty,
      unit: "s",
      target: RECOVERY_MAX_S,
    },
  ];
}

/** Seconds from the start of the process until it answers. */
async function restart(daemon: OwnDaemon): Promise<number> {
  await daemon.end("SIGKILL");
  const begin = performance.now();
  await daemon.startAgain();
  return (performance.now() - begin) / 1000;
}
