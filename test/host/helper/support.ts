/** A real launcher for a test, with directories of its own. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { Launcher } from "../../../src/host/helper/launcher";
import type { SandboxDefaults } from "../../../src/host/helper/protocol";
import type { SandboxSpec } from "../../../src/tasks/ports";
import { isRoot } from "../../support/daemon";

export const HELPER = resolve(__dirname, "../../../dist/bin/stockade-helper");

const UID = isRoot() ? 65534 : (process.geteuid?.() ?? 0);
const GID = isRoot() ? 65534 : (process.getegid?.() ?? 0);

export class TestLauncher implements AsyncDisposable {
  private records = 0;

  private constructor(
    readonly launcher: Launcher,
    readonly pid: number,
    readonly directory: string,
  ) {}

  static async start(defaults: Partial<SandboxDefaults> = {}): Promise<TestLauncher> {
    const directory = mkdtempSync(join(tmpdir(), "stockade-launcher-"));
    mkdirSync(join(directory, "alloc"));
    let pid = 0;
    const launcher = await Launcher.start(
      HELPER,
      {
        allocRoot: join(directory, "alloc"),
        initUid: 65533,
        users: isRoot() ? "host" : "own",
        cgroupPrefix: "",
        tmpBytes: 1n << 20n,
        shmBytes: 1n << 20n,
        logBytes: 1n << 20n,
        linkBytes: 1n << 30n,
        ...defaults,
      },
      (launched) => {
        pid = launched;
        return Promise.resolve();
      },
    );
    return new TestLauncher(launcher, pid, directory);
  }

  /** Of a shell's task, with a record directory of its own. */
  spec(changes: Partial<SandboxSpec> = {}): SandboxSpec {
    const recordDir = join(this.directory, `record${this.records++}`);
    mkdirSync(recordDir);
    const mounts = ["/usr/bin", "/usr/lib", "/lib64", "/bin", "/lib"].map((path) => ({
      source: realpathSync(path),
      target: path,
      readOnly: true,
      optional: true,
      link: false,
    }));
    return {
      uid: UID,
      gid: GID,
      groups: [],
      allocId: "alloc1",
      taskName: "task1",
      recordDir,
      workDir: "/local",
      ownNetwork: true,
      mounts,
      cgroup: undefined,
      ...changes,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.launcher.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
