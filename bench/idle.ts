/** What a task costs that does nothing: memory of ours, not of its command. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import type { OwnDaemon } from "../src/cli/own-daemon.js";
import { chooseMounts, parseMountinfo, parseWords, findV2 } from "../src/host/cgroup/detect.js";
import { freshTask, runCycle } from "./cycle.js";
import { atOnce, repeat } from "./measure.js";
import { IDLE_MAX_KB, type BenchOptions } from "./options.js";
import { childrenOf, proportionalBytes } from "./processes.js";
import type { Resources } from "./resources.js";
import type { Row } from "./rows.js";

/** Tasks that are made at one time. */
const LANES = 8;

const KILO = 1024;

export async function measureIdle(options: BenchOptions, resources: Resources): Promise<Row[]> {
  const cgroupRoot = resources.cgroupName();
  const daemon = await resources.daemon({ cgroupRoot, config: { max_tasks: options.idleTasks + 1 } });
  // What the daemon's own runtime takes for itself, the first tasks pay.
  await repeat(options.warmup, () => runCycle(daemon.client).then(() => undefined));
  const before = await usageOf(daemon, cgroupRoot);
  await atOnce(LANES, options.idleTasks, async () => {
    const { id } = await daemon.client.configure({ ...freshTask(), command: "/bin/sleep", args: ["1000"] });
    await daemon.client.start(id);
  });
  const after = await usageOf(daemon, cgroupRoot);
  const perTask = (name: keyof Usage): number => (after[name] - before[name]) / options.idleTasks / KILO;
  const count = `${options.idleTasks} tasks`;
  return [
    {
      key: "idle_pss",
      what: `idle task (of ${count}): PSS of daemon, launcher and inits`,
      value: perTask("proportional"),
      unit: "kB",
      target: IDLE_MAX_KB,
    },
    {
      key: "idle_pss_inits",
      what: "  of it launcher and inits",
      value: perTask("inits"),
      unit: "kB",
    },
    {
      key: "idle_charged",
      what: "  memory charged to the inits' cgroup",
      value: perTask("charged"),
      unit: "kB",
      target: IDLE_MAX_KB,
    },
  ];
}

/** Bytes. */
interface Usage {
  readonly proportional: number;
  readonly inits: number;
  readonly charged: number;
}

async function usageOf({ pid }: OwnDaemon, cgroupRoot: string): Promise<Usage> {
  if (pid === undefined) throw new Error("the daemon does not run");
  const [launcher] = await childrenOf(pid);
  if (launcher === undefined) throw new Error("the launcher does not run");
  const inits = await proportionalBytes([launcher, ...(await childrenOf(launcher))]);
  return {
    proportional: inits + (await proportionalBytes([pid])),
    inits,
    charged: Number(await readFile(await chargedFile(cgroupRoot), "utf8")),
  };
}

async function chargedFile(cgroupRoot: string): Promise<string> {
  const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
  const v2 = findV2(mounts);
  const controllers = v2 === undefined ? "" : await readFile(join(v2.dir, "cgroup.controllers"), "utf8");
  const chosen = chooseMounts(mounts, parseWords(controllers));
  const memory = chosen?.v1.get("memory");
  if (memory !== undefined) return join(memory.dir, cgroupRoot, "inits/memory.usage_in_bytes");
  return join(chosen?.v2?.dir ?? "/sys/fs/cgroup", cgroupRoot, "inits/memory.current");
}
