/** Other programs that make a sandbox, each run of them from its fork to its end. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { DEFAULT_CHROOT } from "../src/tasks/request/default-chroot.js";
import { parseLatencies, percentile } from "./measure.js";
import { BENCH_DIST, COMMAND } from "./options.js";
import type { Resources } from "./resources.js";
import type { Row } from "./rows.js";

/** The user nobody, of Debian and of the kernel's overflow. */
const NOBODY = 65534;

/** Where hybrid hosts have their v2 tree. */
const UNIFIED = "/sys/fs/cgroup/unified";

/** One of them; from the first run that fails on it is skipped. */
class Peer {
  private readonly samples: number[] = [];
  private failure: string | undefined;

  /**
   * @param how what of the sandbox is not as a task's, or how the program had to be run
   * @param withoutV2 run it where the v2 tree of a hybrid host cannot be seen
   */
  constructor(
    private readonly resources: Resources,
    readonly name: string,
    private readonly how: string,
    private readonly command: readonly string[],
    private readonly withoutV2 = false,
  ) {}

  async run(count: number): Promise<void> {
    if (this.failure !== undefined) return;
    const spawn = [join(BENCH_DIST, "spawn"), String(count), ...this.command];
    // In a mount namespace of its own.
    const unmount = ["unshare", "--mount", "sh", "-c", `umount ${UNIFIED} && exec "$0" "$@"`];
    const [program = "", ...args] = this.withoutV2 ? [...unmount, ...spawn] : spawn;
    try {
      this.samples.push(...parseLatencies(await this.resources.outputOf(program, args)));
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
    }
  }

  /** How long so many percent of the runs take at most. */
  row(percent: number): Row {
    const key = `${this.name}_p${percent}`;
    const what = `${this.name} (${this.how}), p${percent}`;
    if (this.failure !== undefined) return { key, what, skipped: this.failure };
    return { key, what, value: percentile(this.samples, percent), unit: "ms" };
  }
}

export class Peers {
  private constructor(private readonly peers: readonly Peer[]) {}

  static async prepare(resources: Resources): Promise<Peers> {
    const bundle = await makeBundle(resources);
    const state = await resources.directory();
    const runArgs = ["run", "--bundle", bundle, `stockade-bench-${process.pid}`];
    const runtime = (name: string): readonly string[] => [name, "--root", join(state, name)];
    const crun = [...runtime("crun"), "--cgroup-manager=cgroupfs", ...runArgs];
    const hybrid = existsSync(UNIFIED);
    return new Peers([
      new Peer(resources, "bwrap", "no cgroup, root's uid", ["bwrap", ...bwrapArgs()]),
      // It refuses hybrid hosts.
      hybrid
        ? new Peer(resources, "crun", `cgroupfs, ${UNIFIED} unmounted`, crun, true)
        : new Peer(resources, "crun", "cgroupfs", crun),
      new Peer(resources, "runc", "cgroupfs", [...runtime("runc"), ...runArgs]),
    ]);
  }

  /** Runs each so many times. */
  async run(count: number): Promise<void> {
    for (const peer of this.peers) await peer.run(count);
  }

  /** How long each takes, and beside crun how much of that a cycle of so many milliseconds is. */
  rows(cycle: number): Row[] {
    return this.peers.flatMap((peer) => {
      const [row, slowest] = [peer.row(50), peer.row(99)];
      if (peer.name !== "crun") return [row, slowest];
      const ratio = { key: "cycle_per_crun", what: "  cycle / crun, p50" };
      return "skipped" in row
        ? [row, slowest, { ...ratio, skipped: row.skipped }]
        : [row, slowest, { ...ratio, value: cycle / row.value, unit: "", target: 1 }];
    });
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
