/** What the daemon runs out of: tasks go on, and so does it once there is enough again. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ChrootMethod, ExitReason } from "../../src/client";
import { cgroupMounts, failure, SLEEPER, until } from "../support/daemon";
import { HandDaemon } from "../support/hand-daemon";
import { removeCgroups } from "../support/remove-cgroups";
import { itRequires } from "../support/requires";
import { RunStream } from "../support/run-stream";

let directory: string;
let state: string;
let daemon: HandDaemon;

const cgroupRoot = `/stockade-test-${process.pid}-scarcity`;

/** Ends once `go` is there. */
const WAITER = { command: "/bin/sh", args: ["-c", "until [ -e /local/go ]; do sleep 0.02; done; exit 6"] };

const address = (): string => `unix:${join(directory, "sock")}`;

async function start(): Promise<void> {
  const flags = ["--listen", address(), "--state-dir", state, "--alloc-dir", join(directory, "alloc")];
  daemon = await HandDaemon.start([...flags, "--cgroup-root", cgroupRoot], address());
}

/** A directory of the daemon's on a file system of its own. */
async function withSmall(which: "state" | "alloc", test: () => Promise<void>, size = "512k"): Promise<void> {
  directory = mkdtempSync(join(tmpdir(), "stockade-scarcity-"));
  state = join(directory, "state");
  const small = join(directory, which);
  mkdirSync(small, { mode: 0o700 });
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=0700`, "tmpfs", small]);
  try {
    await start();
    await test();
  } finally {
    await daemon.end("SIGTERM");
    await removeCgroups(cgroupMounts(), cgroupRoot);
    execFileSync("umount", [small]);
    rmSync(directory, { recursive: true });
  }
}

function fill(): string {
  const file = join(state, "filler");
  try {
    writeFileSync(file, Buffer.alloc(1 << 20));
  } catch {
    // Until nothing more fits.
  }
  return file;
}

/** The mount alone: init has files open for writing, by one of its own. */
const remount = (path: string, how: "ro" | "rw"): Buffer =>
  execFileSync("mount", ["-o", `remount,bind,${how}`, path]);

const SCARCITIES: readonly (readonly [string, () => () => void])[] = [
  [
    "full",
    () => {
      const file = fill();
      return () => rmSync(file);
    },
  ],
  [
    "out of inodes",
    () => {
      const { files, ffree } = statfsSync(state);
      const limit = (inodes: number): Buffer =>
        execFileSync("mount", ["-o", `remount,nr_inodes=${inodes}`, state]);
      limit(files - ffree);
      return () => void limit(files);
    },
  ],
  [
    "read-only",
    () => {
      remount(state, "ro");
      return () => remount(state, "rw");
    },
  ],
];

describe.each(SCARCITIES)("a state directory that is %s", (_what, begin) => {
  itRequires(
    ["root", "cgroups"],
    "refuses new tasks, leaves those that run alone, and takes new ones once it is not any more",
    () =>
      withSmall("state", async () => {
        const { id } = await daemon.client.configure({ allocId: "a", taskName: "one", ...WAITER });
        await daemon.client.start(id);
        const stopped = await daemon.client.configure({ allocId: "a", taskName: "two", ...WAITER });
        await daemon.client.start(stopped.id);
        const end = begin();
        try {
          const refused = daemon.client.configure({ allocId: "b", taskName: "t", ...WAITER });
          expect(await failure(refused)).toMatchObject({
            code: "RESOURCE_EXHAUSTED",
            reason: "HOST_EXHAUSTED",
          });
          const { exit } = await daemon.client.forceStop(stopped.id);
          expect(exit).toMatchObject({ reason: ExitReason.EXIT_REASON_FORCE_STOPPED });
          writeFileSync(join(directory, "alloc/a/one/local/go"), "");
          expect((await daemon.client.wait(id)).exit).toMatchObject({
            reason: ExitReason.EXIT_REASON_EXITED,
            status: { $case: "exitCode", value: 6 },
          });
        } finally {
          end();
        }
        const next = await daemon.client.configure({ allocId: "b", taskName: "t", ...WAITER });
        await daemon.client.forceStop(next.id);
        // What could not be written then, init has.
        await daemon.end("SIGKILL");
        await start();
        expect((await daemon.client.wait(id)).exit).toMatchObject({
          reason: ExitReason.EXIT_REASON_EXITED,
          status: { $case: "exitCode", value: 6 },
        });
      }),
  );

  itRequires(
    ["root", "cgroups"],
    "keeps no daemon from starting: it has the tasks, and takes new ones once it is not any more",
    () =>
      withSmall("state", async () => {
        const { id } = await daemon.client.configure({ allocId: "a", taskName: "one", ...WAITER });
        await daemon.client.start(id);
        const end = begin();
        try {
          await daemon.end("SIGKILL");
          await start();
          expect(daemon.logged).toContain("cannot try a sandbox");
          const refused = daemon.client.configure({ allocId: "b", taskName: "t", ...WAITER });
          expect(await failure(refused)).toMatchObject({ reason: "HOST_EXHAUSTED" });
          writeFileSync(join(directory, "alloc/a/one/local/go"), "");
          expect((await daemon.client.wait(id)).exit?.status).toEqual({ $case: "exitCode", value: 6 });
        } finally {
          end();
        }
        const next = await daemon.client.configure({ allocId: "b", taskName: "t", ...WAITER });
        await daemon.client.forceStop(next.id);
        expect(readdirSync(join(state, "tasks"))).toHaveLength(2);
      }),
  );

  itRequires(
    ["root", "cgroups"],
    "has no room for a copy of what Run is to collect: it says so of each file, and sends the exit",
    () =>
      withSmall("state", async () => {
        const target = { freshName: () => "run", daemon: { address: address() } };
        const path = "/local/out";
        const script = `head -c 600000 /dev/zero > ${path}; until [ -e /local/go ]; do sleep 0.02; done; exit 6`;
        const configure = { command: "/bin/sh", args: ["-c", script] };
        const wanted = [path, "/local/none"].map((each) => ({ path: each, maxBytes: 2n ** 20n }));
        using run = new RunStream(target, configure, { collect: wanted });
        await run.started();
        const end = begin();
        try {
          writeFileSync(join(directory, "alloc/run/run/local/go"), "");
          expect(await run.ended).toBeUndefined();
        } finally {
          end();
        }
        const told = run.events.flatMap((event) => (event.$case === "file" ? [event.value] : []));
        expect(told).toMatchObject([
          { path, error: expect.stringMatching(/^E(NOSPC|ROFS)$/) },
          { error: expect.any(String) },
        ]);
        expect(run.exit?.status).toEqual({ $case: "exitCode", value: 6 });
      }),
  );
});

itRequires(
  ["root", "cgroups"],
  "a state directory that becomes read-only while a file is sent is told as that: its copy cannot be removed",
  () =>
    withSmall(
      "state",
      async () => {
        const bytes = 6 * 2 ** 20;
        const script = `head -c ${bytes} /dev/zero > /local/out; until [ -e /local/go ]; do sleep 0.02; done`;
        const target = { freshName: () => "run", daemon: { address: address() } };
        const collect = [{ path: "/local/out", maxBytes: BigInt(bytes) }];
        using run = new RunStream(target, { command: "/bin/sh", args: ["-c", script] }, { collect });
        const id = await run.started();
        // So that it cannot all be sent before there is no way to remove it.
        run.pause();
        writeFileSync(join(directory, "alloc/run/run/local/go"), "");
        const copies = join(state, "tasks", id.slice(-36), "collected");
        await until(
          () => existsSync(copies) && readdirSync(copies).some((name) => sizeOf(copies, name) === bytes),
        );
        await until(() => succeeds(() => remount(state, "ro")));
        try {
          run.resume();
          expect(await run.ended).toMatchObject({
            code: "RESOURCE_EXHAUSTED",
            reason: "HOST_EXHAUSTED",
            metadata: { errno: "EROFS" },
          });
        } finally {
          remount(state, "rw");
        }
      },
      "16m",
    ),
);

itRequires(
  ["root", "cgroups"],
  "an alloc directory that is read-only refuses new tasks, of whatever names, keeps no daemon from starting, and takes them once it is not any more",
  () =>
    withSmall("alloc", async () => {
      const { client } = daemon;
      const ended = await client.configure({ allocId: "a", taskName: "ended", ...SLEEPER });
      await client.forceStop(ended.id);
      const running = await client.configure({ allocId: "a", taskName: "running", ...SLEEPER });
      await client.start(running.id);
      const embed = {
        chroot: { "/etc/hostname": "/etc/hostname" },
        chrootMethod: ChrootMethod.CHROOT_METHOD_LINK,
      };
      const requests = [
        { allocId: "b", taskName: "new", ...SLEEPER },
        { allocId: "a", taskName: "new", ...SLEEPER },
        { allocId: "a", taskName: "ended", ...SLEEPER, ...embed },
      ];
      const alloc = join(directory, "alloc");
      remount(alloc, "ro");
      try {
        for (const request of requests) {
          expect(await failure(client.configure(request))).toMatchObject({
            code: "RESOURCE_EXHAUSTED",
            reason: "HOST_EXHAUSTED",
            metadata: { errno: "EROFS" },
          });
        }
        await daemon.end("SIGKILL");
        await start();
        expect((await daemon.client.forceStop(running.id)).exit?.reason).toBe(
          ExitReason.EXIT_REASON_FORCE_STOPPED,
        );
      } finally {
        remount(alloc, "rw");
      }
      // What could not be taken back is tried again: the records of two that have run stay.
      await until(() => readdirSync(join(state, "tasks")).length === 2);
      for (const request of requests)
        await daemon.client.forceStop((await daemon.client.configure(request)).id);
    }),
);

function sizeOf(directory: string, name: string): number {
  return statSync(join(directory, name)).size;
}

/** Not while the copy is still open to be written. */
function succeeds(act: () => unknown): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}
