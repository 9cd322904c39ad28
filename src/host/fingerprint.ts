/** What a daemon tells of itself and its host: found out when it starts, and what changes while somebody asks for it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { release } from "node:os";

import { Refreshed } from "../tasks/concurrency/refreshed.js";
import { LIMIT_NAMES, limitFieldName } from "../tasks/request/limit-rules.js";
import type { HostCapabilities, ServerInfo, ServerInfoSource } from "../tasks/server-info.js";
import { NO_CGROUP, type Unenforced } from "../tasks/unenforced.js";
import type { CgroupRoot } from "./cgroup/root.js";
import { resourcesOf } from "./fingerprint-resources.js";
import { isRoot } from "./privileges.js";

/** While somebody asks: how often the host is looked at, and how old what he is told may be. In milliseconds. */
const AGES = { refreshMs: 5_000, mostMs: 30_000 };

export interface FingerprintParts {
  readonly version: string;
  readonly helper: string;
  readonly cgroups: CgroupRoot | undefined;
  /** What of a task's containment is not in force. */
  readonly unenforced: readonly Unenforced[];
  readonly stateDir: string;
  readonly allocDir: string;
}

/** To be called once a sandbox has been made for a trial (probe.ts), and before the daemon takes its first task. */
export async function fingerprint(parts: FingerprintParts): Promise<ServerInfoSource> {
  const { version, stateDir, allocDir } = parts;
  const capabilities = await capabilitiesOf(parts);
  const resources = new Refreshed(resourcesOf(stateDir, allocDir), AGES);
  return {
    read: async (): Promise<ServerInfo> => ({ version, capabilities, resources: await resources.read() }),
  };
}

async function capabilitiesOf(parts: FingerprintParts): Promise<HostCapabilities> {
  const { helper, cgroups, unenforced, allocDir } = parts;
  const limits = cgroups?.unenforceable ?? new Map(LIMIT_NAMES.map((name) => [name, NO_CGROUP]));
  return Object.freeze({
    kernelRelease: release(),
    cgroupMode: cgroups?.mode ?? "none",
    cgroupRoot: cgroups?.root,
    cgroupControllers: [...(cgroups?.controllers ?? [])].sort(),
    namespaces: namespaces(),
    idmappedMounts: await canIdmap(helper, allocDir),
    unenforced: [
      ...unenforced,
      ...[...limits].map(([name, reason]) => ({ name: limitFieldName(name), reason })),
    ],
  });
}

/** Those of the trial sandbox, which was made with all of them: without one of them no daemon serves. */
function namespaces(): readonly string[] {
  const all = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
  return isRoot() ? all : [...all, "user"].sort();
}

/** Tried by the helper: Node cannot make a mount. */
async function canIdmap(helper: string, directory: string): Promise<boolean> {
  await using handle = await open(directory, "r");
  const child = spawn(helper, ["idmap"], {
    stdio: ["ignore", "ignore", "inherit", handle.fd],
    cwd: "/",
    env: {},
  });
  const [code] = (await once(child, "exit")) as [number | null];
  return code === 0;
}
