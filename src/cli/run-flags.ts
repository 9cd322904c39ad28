/** The flags of `stockade run`, and what they say of a task. */
import type { MountOption, RunOptions } from "../client/index.js";
import type { Context } from "./context.js";
import type { FlagValues } from "./flags.js";
import { toLabels } from "./labels.js";
import { OUTPUT_FLAG } from "./output-form.js";
import { UsageError } from "./usage-error.js";

export const RUN_FLAGS = {
  "allow-unenforced": { type: "boolean" },
  alloc: { type: "string" },
  collect: { type: "string", multiple: true },
  "collect-max": { type: "string" },
  "cpu-shares": { type: "string", short: "c" },
  "cpu-time": { type: "string" },
  cpus: { type: "string" },
  "cpuset-cpus": { type: "string" },
  detach: { type: "boolean", short: "d" },
  env: { type: "string", short: "e", multiple: true },
  file: { type: "string", multiple: true },
  group: { type: "string" },
  interactive: { type: "boolean", short: "i" },
  label: { type: "string", short: "l", multiple: true },
  memory: { type: "string", short: "m" },
  "memory-reservation": { type: "string" },
  name: { type: "string" },
  network: { type: "string" },
  overwrite: { type: "boolean" },
  pids: { type: "string" },
  "pids-limit": { type: "string" },
  rm: { type: "boolean" },
  timeout: { type: "string" },
  // As -it is in people's fingers.
  tty: { type: "boolean", short: "t" },
  user: { type: "string", short: "u" },
  volume: { type: "string", short: "v", multiple: true },
  workdir: { type: "string", short: "w" },
  ...OUTPUT_FLAG,
} as const;

export type RunFlags = FlagValues<typeof RUN_FLAGS>;

/** What is to be run of flags alone; what they name of this host is not looked at. Throws a UsageError. */
export function toOptions(flags: RunFlags, env: Context["env"]): RunOptions {
  if (flags.tty === true)
    throw new UsageError("a task has no terminal: -i alone passes the standard input on");
  const [user, group] = split(flags.user, ":");
  return {
    name: flags.name,
    alloc: flags.alloc,
    user,
    group: flags.group ?? group,
    workDir: flags.workdir,
    labels: toLabels(flags.label ?? []),
    env: toEnv(flags.env ?? [], env),
    mounts: flags.volume?.map(toMount),
    network: toNetwork(flags.network),
    timeout: flags.timeout,
    cpuTimeLimit: flags["cpu-time"],
    allowUnenforced: flags["allow-unenforced"],
    limits: {
      memory: flags.memory,
      memoryReservation: flags["memory-reservation"],
      cpus: toNumber(flags.cpus, "--cpus"),
      cpuShares: toNumber(flags["cpu-shares"], "--cpu-shares"),
      cpuset: flags["cpuset-cpus"],
      pids: toNumber(flags.pids ?? flags["pids-limit"], "--pids"),
    },
  };
}

function split(text: string | undefined, by: string): [string | undefined, string | undefined] {
  const at = text?.indexOf(by) ?? -1;
  return at < 0 ? [text, undefined] : [text?.slice(0, at), text?.slice(at + 1)];
}

function toNumber(text: string | undefined, flag: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^(\d+(\.\d*)?|\.\d+)$/.test(text)) throw new UsageError(`${flag} takes a number: '${text}'`);
  return Number(text);
}

function toEnv(entries: readonly string[], own: Context["env"]): Map<string, string> {
  const env = new Map<string, string>();
  for (const entry of entries) {
    const [name = "", given] = split(entry, "=");
    const value = given ?? own[name];
    if (name === "") throw new UsageError(`--env takes a name and a value: '${entry}'`);
    if (value !== undefined) env.set(name, value);
  }
  return env;
}

function toMount(volume: string): MountOption {
  const [source, target, mode, ...more] = volume.split(":");
  const known = mode === undefined || mode === "ro" || mode === "rw";
  if (source === undefined || target === undefined || !known || more.length > 0) {
    throw new UsageError(`--volume takes SRC:DST or SRC:DST:ro: '${volume}'`);
  }
  return { source, target, readOnly: mode === "ro" };
}

function toNetwork(mode: string | undefined): "none" | "host" | undefined {
  if (mode === undefined || mode === "none" || mode === "host") return mode;
  throw new UsageError(`--network is none or host: '${mode}'`);
}
