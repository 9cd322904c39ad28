/** Other programs that make a sandbox, each run of them from its fork to its end. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { DEFAULT_CHROOT } from "../src/tasks/default-chroot.js";
import { parseLatencies, percentile } from "./measure.js";
import { BENCH_DIST, COMMAND, type BenchOptions } from "./options.js";
import type { Resources } from "./resources.js";
import type { Row } from "./rows.js";

/** The user nobody, of Debian and of the kernel's overflow. */
const NOBODY = 65534;

/** Where hybrid hosts have their v2 tree. */
const UNIFIED = "/sys/fs/cgroup/unified";

interface Peer {
  readonly name: string;
  /** What of the sandbox is not as a task's, or how the program had to be run. */
  readonly how: string;
  readonly command: readonly string[];
}

export async function measurePeers(options: BenchOptions, resources: Resources): Promise<Row[]> {
  const bundle = await makeBundle(resources);
  const state = await resources.directory();
  const runArgs = ["run", "--bundle", bundle, `stockade-bench-${process.pid}`];
  const hybrid = existsSync(UNIFIED);
  const peers: Peer[] = [
    { name: "bwrap", how: "no cgroup, root's uid", command: ["bwrap", ...bwrapArgs()] },
    {
      name: "crun",
      // It refuses hybrid hosts.
      how: hybrid ? `cgroupfs, ${UNIFIED} unmounted` : "cgroupfs",
      command: ["crun", "--root", join(state, "crun"), "--cgroup-manager=cgroupfs", ...runArgs],
    },
    { name: "runc", how: "cgroupfs", command: ["runc", "--root", join(state, "runc"), ...runArgs] },
  ];
  const rows: Row[] = [];
  for (const peer of peers)
    rows.push(await measure(resources, peer, options.peerRuns, hybrid && peer.name === "crun"));
  return rows;
}

async function measure(
  resources: Resources,
  { name, how, command }: Peer,
  runs: number,
  withoutV2: boolean,
): Promise<Row> {
  const key = `${name}_p50`;
  const what = `${name} (${how}), p50`;
  const spawn = [join(BENCH_DIST, "spawn"), String(runs), ...command];
  // In a mount namespace of its own.
  const unmount = ["unshare", "--mount", "sh", "-c", `umount ${UNIFIED} && exec "$0" "$@"`];
  const [program = "", ...args] = withoutV2 ? [...unmount, ...spawn] : spawn;
  try {
    const value = percentile(parseLatencies(await resources.outputOf(program, args)), 50);
    return { key, what, value, unit: "ms" };
  } catch (error) {
    return { key, what, skipped: error instanceof Error ? error.message : String(error) };
  }
}

function bwrapArgs(): string[] {
  return [
    ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup"],
    ...DEFAULT_CHROOT.map(({ source, target }) => ["--ro-bind-try", source, target]),
    ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--tmpfs", "/tmp"],
    ["--hostname", "task", "--chdir", "/tmp", "--clearenv", "--cap-drop", "ALL", "--new-session"],
    [COMMAND],
  ].flat();
}

/** A bundle of the OCI runtimes: https://github.com/opencontainers/runtime-spec, config.md. */
async function makeBundle(resources: Resources): Promise<string> {
  const bundle = await resources.directory();
  await mkdir(join(bundle, "rootfs"));
  const private_ = ["nosuid", "nodev"];
  const config = {
    ociVersion: "1.0.2",
    process: {
      user: { uid: NOBODY, gid: NOBODY },
      args: [COMMAND],
      env: ["PATH=/usr/bin:/bin"],
      cwd: "/tmp",
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "task",
    mounts: [
      ...DEFAULT_CHROOT.filter(({ source }) => existsSync(source)).map(({ source, target }) => ({
        destination: target,
        source,
        type: "bind",
        options: ["rbind", "ro", ...private_],
      })),
      { destination: "/proc", source: "proc", type: "proc", options: [...private_, "noexec"] },
      { destination: "/dev", source: "tmpfs", type: "tmpfs", options: ["nosuid", "mode=755", "size=64k"] },
      { destination: "/dev/pts", source: "devpts", type: "devpts", options: ["nosuid", "newinstance"] },
      { destination: "/dev/shm", source: "shm", type: "tmpfs", options: [...private_, "size=64m"] },
      { destination: "/tmp", source: "tmpfs", type: "tmpfs", options: [...private_, "size=64m"] },
    ],
    linux: {
      cgroupsPath: resources.cgroupName(),
      namespaces: ["pid", "mount", "ipc", "uts", "network", "cgroup"].map((type) => ({ type })),
    },
  };
  await writeFile(join(bundle, "config.json"), JSON.stringify(config));
  return bundle;
}
