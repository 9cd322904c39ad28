/** Configure: directories, the default map, maps of requests, all or nothing. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";

import { ExitReason, type ConfigureFields } from "../../src/client";
import { failure, isRoot, TestDaemon, until } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { allocs, entries, ownerAndMode, records, Scratch } from "../support/task-files";

const NOBODY = "65534:65534";
/** Who owns what is not the task user's. */
const OWNER = isRoot() ? "0:0" : `${process.geteuid?.()}:${process.getegid?.()}`;
const USER = isRoot() ? NOBODY : OWNER;

let daemon: TestDaemon;
let scratch: Scratch;

beforeAll(async () => {
  scratch = new Scratch();
  scratch.sh("mkdir tree; echo one >tree/file; echo two >single; ln -s tree link");
  daemon = await TestDaemon.start({
    allowed_paths: [
      ...["/bin", "/etc", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib", scratch.path].map((path) => ({
        path,
      })),
    ],
  });
});

afterEach(() => expectNothingLeft(daemon));

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** A map with which sh and the usual tools run. */
function programs(): Record<string, string> {
  const paths = ["/bin", "/lib", "/lib64", "/usr/bin", "/usr/lib"];
  return Object.fromEntries(paths.filter((path) => existsSync(path)).map((path) => [path, path]));
}

describe("the alloc and task directories", () => {
  it("have the owners and modes of the contract", async () => {
    const name = daemon.freshName();
    await daemon.run("exit 0", { allocId: name, taskName: "web" });
    const modes = ["", "alloc", "alloc/data", "alloc/logs", "alloc/tmp", "web", "web/local"].map(
      (path) => `${path}: ${ownerAndMode(join(daemon.allocDir(name), path))}`,
    );
    expect(modes).toEqual([
      `: ${OWNER} 755`,
      `alloc: ${OWNER} 755`,
      `alloc/data: ${OWNER} 1777`,
      `alloc/logs: ${OWNER} 1777`,
      `alloc/tmp: ${OWNER} 1777`,
      `web: ${OWNER} 755`,
      `web/local: ${USER} 700`,
    ]);
    expect(ownerAndMode(join(daemon.daemon.directory, "alloc"))).toBe(`${OWNER} 700`);
    expect(entries(daemon, name)).toEqual(["alloc", "web"]);
  });

  it("let the task's user write six places, and nothing else that its root shows", async () => {
    const { stdout } = await daemon.run(
      'find / -maxdepth 4 ! -type l -writable ! -path "/proc/*/task/*" 2>/dev/null | sort; echo --;' +
        "for d in /local /alloc/data /alloc/logs /alloc/tmp /tmp /dev/shm; do" +
        ' echo "in $d" >$d/written && cat $d/written && rm $d/written; done',
    );
    const [writable = "", written = ""] = stdout.split("--\n");
    const devices = ["full", "null", "pts/ptmx", "random", "tty", "urandom", "zero"];
    const places = ["/alloc/data", "/alloc/logs", "/alloc/tmp", "/local", "/tmp", "/dev/shm"];
    expect(writable.trim().split("\n")).toEqual(
      [...places, ...devices.map((device) => `/dev/${device}`)].sort(),
    );
    expect(written.trim().split("\n").sort()).toEqual(places.map((place) => `in ${place}`).sort());
  });

  it("of a task are not seen by another task of the alloc, what they share is", async () => {
    const allocId = daemon.freshName();
    await daemon.run("echo mine >/local/own; echo ours >/alloc/data/shared", {
      allocId,
      taskName: "first",
    });
    const second = await daemon.run("cat /alloc/data/shared; cat /local/own; ls /", {
      allocId,
      taskName: "second",
    });
    expect(second.stdout).toContain("ours\n");
    expect(second.stdout).not.toContain("mine");
    expect(second.stdout).not.toMatch(/first|second/);
    expect(entries(daemon, allocId)).toEqual(["alloc", "first", "second"]);
  });

  itRequires("root", "are shared by tasks of different users, sticky", async () => {
    const allocId = daemon.freshName();
    await daemon.run("umask 0; echo ours >/alloc/data/shared", { allocId, taskName: "first" });
    const second = await daemon.run(
      "id -u; cat /alloc/data/shared; rm /alloc/data/shared; echo more >>/alloc/data/shared",
      { allocId, taskName: "second", user: "daemon" },
    );
    expect(second.stdout).toBe("1\nours\n");
    expect(second.stderr).toContain("Operation not permitted");
    expect(readFileSync(join(daemon.allocDir(allocId), "alloc/data/shared"), "utf8")).toBe("ours\nmore\n");
  });

  itRequires("root", "go over to the new user when a task is configured again", async () => {
    const request = { allocId: daemon.freshName(), taskName: "again" };
    await daemon.run("echo old >/local/file", request);
    const second = await daemon.run("stat -c %u /local; echo new >/local/other && cat /local/other", {
      ...request,
      user: "daemon",
    });
    expect(second.stdout).toBe("1\nnew\n");
  });
});

describe("a name", () => {
  it("is taken while its task is alive, and free again after the end", async () => {
    const request = { allocId: daemon.freshName(), taskName: "web", command: "/bin/cat" };
    const id = await daemon.configure(request);
    const configured = await failure(daemon.configure(request));
    expect(configured).toMatchObject({ code: "ALREADY_EXISTS", reason: "TASK_EXISTS" });
    await daemon.client.start(id);
    await daemon.client.forceStop(id);
    const again = await daemon.configure(request);
    expect(again).not.toBe(id);
    const { exit } = await daemon.client.forceStop(again);
    expect(exit?.reason).toBe(ExitReason.EXIT_REASON_NEVER_STARTED);
  });

  it("is given to one of ten that ask at once", async () => {
    const request = { allocId: daemon.freshName(), taskName: "web", command: "/bin/cat" };
    const calls = await Promise.allSettled(Array.from({ length: 10 }, () => daemon.configure(request)));
    const ids = calls.flatMap((call) => (call.status === "fulfilled" ? [call.value] : []));
    const codes = calls.flatMap((call) =>
      call.status === "rejected" ? [(call.reason as { code: string }).code] : [],
    );
    expect(ids).toHaveLength(1);
    expect(new Set(codes)).toEqual(new Set(["ALREADY_EXISTS"]));
    await daemon.client.forceStop(ids[0] ?? "");
    expect(entries(daemon, request.allocId)).toEqual(["alloc", "web"]);
  });
});

describe("the chroot map", () => {
  it("shows by default what there is of seven paths of the host, and skips what is missing", async () => {
    const { stdout } = await daemon.run("ls /; echo --; ls /usr");
    const [root = "", usr = ""] = stdout.split("--\n");
    const given = ["bin", "etc", "lib", "lib32", "lib64"].filter((name) => existsSync(`/${name}`));
    const own = ["alloc", "dev", "local", "proc", "tmp"];
    expect(given).not.toHaveLength(0);
    // Where these two lead is there as far as they lead to it: to /usr/share, or to /run.
    const led = ["/etc/localtime", "/etc/resolv.conf"].filter(existsSync).map((path) => realpathSync(path));
    const below = (directory: string): string[] =>
      led
        .filter((path) => path.startsWith(directory))
        .map((path) => path.slice(directory.length).split("/")[0] ?? "");
    expect(root.trim().split("\n")).toEqual([...new Set([...given, ...own, ...below("/"), "usr"])].sort());
    expect(usr.trim().split("\n")).toEqual([...new Set(["bin", "lib", ...below("/usr/")])].sort());
  });

  it("of a request replaces the default, and may name a file", async () => {
    const chroot = {
      ...programs(),
      [join(scratch.path, "tree")]: "/data/deep",
      [join(scratch.path, "single")]: "/data/single",
    };
    const { stdout, stderr } = await daemon.run(
      "ls -d /etc; cat /data/deep/file /data/single; echo x >/data/single; echo x >/data/deep/new",
      { chroot },
    );
    expect(stdout).toBe("one\ntwo\n");
    expect(stderr).toContain("/etc");
    expect(stderr.match(/Read-only file system/g)).toHaveLength(2);
  });

  it("of a request skips a source that is not there", async () => {
    const chroot = { ...programs(), [join(scratch.path, "absent")]: "/absent" };
    const { stdout } = await daemon.run("test -e /absent || echo skipped", { chroot });
    expect(stdout).toBe("skipped\n");
  });

  it("of a request resolves a source that is a symlink", async () => {
    const chroot = { ...programs(), [join(scratch.path, "link")]: "/data" };
    const { stdout } = await daemon.run("cat /data/file; test -L /data || echo real", { chroot });
    expect(stdout).toBe("one\nreal\n");
  });
});

describe("what is not allowed", () => {
  const root: readonly [string, ConfigureFields, string, string][] = [
    ["the user 0", { user: "0" }, "user", "USER_FORBIDDEN"],
    ["the user root", { user: "root" }, "user", "USER_FORBIDDEN"],
    ["init's own uid", { user: "65533", group: "65533" }, "user", "USER_FORBIDDEN"],
    ["the group 0", { group: "0" }, "group", "GROUP_FORBIDDEN"],
    ["the group root", { group: "root" }, "group", "GROUP_FORBIDDEN"],
    ["a group of others", { group: "daemon" }, "group", "GROUP_FORBIDDEN"],
    ["a number with others' group", { user: "4242", group: "daemon" }, "group", "GROUP_FORBIDDEN"],
    [
      "a supplementary group of others",
      { supplementaryGroups: ["daemon"] },
      "supplementary_groups[0]",
      "GROUP_FORBIDDEN",
    ],
  ];
  const paths: typeof root = [
    ["a chroot source elsewhere", { chroot: { "/root": "/root" } }, "chroot", "PATH_FORBIDDEN"],
    ["the host's root", { chroot: { "/": "/host" } }, "chroot", "PATH_FORBIDDEN"],
    [
      "a mount source elsewhere",
      { mounts: [{ source: "/var", target: "/var", readOnly: true }] },
      "mounts[0].source",
      "PATH_FORBIDDEN",
    ],
  ];
  for (const [needs, rows] of [["root", root] as const, [[], paths] as const]) {
    for (const [what, request, field, reason] of rows) {
      itRequires(needs, `${what} is refused, and changes nothing`, async () => {
        const before = [records(daemon), allocs(daemon)];
        const error = await failure(daemon.configure({ command: "/bin/true", ...request }));
        expect(error).toMatchObject({ code: "PERMISSION_DENIED", reason, field });
        expect([records(daemon), allocs(daemon)]).toEqual(before);
      });
    }
  }
});

describe("a Configure that comes to nothing", () => {
  // A caller that gives up while the answer is on its way cannot be told from one that has it: what
  // was configured for it is whole, and goes when nobody has started it in time.
  const GIVE_UP = 60;
  /** How many of so many moments may fall on the ways of the two: a tenth as a rule, more where the client is slow. */
  const CROSSED_MAX = GIVE_UP / 2;

  for (const [how, code] of [
    ["its caller cancels", "CANCELLED"],
    ["its deadline passes", "DEADLINE_EXCEEDED"],
  ] as const) {
    it(`leaves nothing when ${how}, at any moment`, async () => {
      await using brief = await TestDaemon.start({ unstarted_ttl_seconds: 1 });
      // How long a call takes here: the moments are spread over that, and a little beyond.
      await brief.client.forceStop(await brief.configure({ command: "/bin/true" }));
      const started = performance.now();
      const timed = await brief.configure({ command: "/bin/true" });
      const span = (performance.now() - started) * 1.2;
      await brief.client.forceStop(timed);
      const names: string[] = [];
      for (let i = 0; i < GIVE_UP; i++) {
        const request = { allocId: `alloc${i}`, taskName: "t", command: "/bin/true", allowUnenforced: true };
        const after = Math.ceil((span * (i + Math.random())) / GIVE_UP);
        const settings = code === "CANCELLED" ? { signal: AbortSignal.timeout(after) } : { timeoutMs: after };
        try {
          const { id } = await brief.client.configure(request, settings);
          await brief.client.forceStop(id);
        } catch (error) {
          expect(error).toMatchObject({ code });
          names.push(request.allocId);
        }
      }
      const given = names.length;
      expect(given).toBeGreaterThan(0);
      await until(() => brief.leftovers().length === 0);
      // Two more are the first task and the one that was timed.
      await until(() => allocs(brief).length === records(brief).length);
      const crossed = records(brief).length - 2 - (GIVE_UP - given);
      expect(crossed).toBeGreaterThanOrEqual(0);
      expect(crossed).toBeLessThanOrEqual(CROSSED_MAX);
      // Those names are free again.
      for (const allocId of names) {
        const id = await brief.configure({ allocId, taskName: "t", command: "/bin/true" });
        await brief.client.forceStop(id);
      }
    });
  }

  const workDirs = [
    ["/nowhere", "ENOENT"],
    ["/bin/sh", "ENOTDIR"],
    ["/alloc/../bin", undefined],
  ] as const;
  for (const [workDir, errno] of workDirs) {
    it(`leaves nothing when its work_dir is ${workDir}`, async () => {
      const before = [records(daemon), allocs(daemon)];
      const error = await failure(daemon.configure({ command: "/bin/true", workDir }));
      expect(error.field).toBe("work_dir");
      if (errno === undefined) {
        expect(error.code).toBe("INVALID_ARGUMENT");
      } else {
        expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "SANDBOX_FAILED" });
        expect(error.metadata).toMatchObject({ stage: "enter_work_dir", errno });
      }
      expect(error.message).not.toContain(daemon.daemon.directory);
      expect([records(daemon), allocs(daemon)]).toEqual(before);
    });
  }

  it("leaves the alloc directory and the task directory of others as they were", async () => {
    const allocId = daemon.freshName();
    await daemon.run("echo kept >/alloc/data/kept; echo kept >/local/kept", { allocId, taskName: "old" });
    for (const taskName of ["old", "new"]) {
      await failure(daemon.configure({ allocId, taskName, command: "true", workDir: "/nowhere" }));
    }
    expect(entries(daemon, allocId)).toEqual(["alloc", "old"]);
    const again = await daemon.run("cat /alloc/data/kept /local/kept", { allocId, taskName: "old" });
    expect(again.stdout).toBe("kept\nkept\n");
  });

  it("leaves nothing of a new alloc when several do at once, and all that is another's when one does not", async () => {
    const failing = (allocId: string, count: number): Promise<unknown>[] =>
      Array.from({ length: count }, (_, index) =>
        failure(daemon.configure({ allocId, taskName: `f${index}`, command: "true", workDir: "/nowhere" })),
      );
    for (let round = 0; round < 5; round++) {
      const before = allocs(daemon);
      const allocId = daemon.freshName();
      await Promise.all(failing(allocId, 6));
      expect(allocs(daemon)).toEqual(before);
      const [id] = await Promise.all([
        daemon.configure({ allocId, taskName: "good", command: "true" }),
        ...failing(allocId, 3),
      ]);
      await daemon.client.forceStop(id);
      expect(entries(daemon, allocId)).toEqual(["alloc", "good"]);
      await Promise.all(failing(allocId, 3));
      expect(entries(daemon, allocId)).toEqual(["alloc", "good"]);
    }
  });

  itRequires("root", "leaves the logs of an earlier run, and the owner and mode of its /local", async () => {
    const request = { allocId: daemon.freshName(), taskName: "old" };
    await daemon.run("echo kept; echo too >&2; chmod 750 /local", request);
    const local = join(daemon.allocDir(request.allocId), "old/local");
    const seen = (): string[] => [
      ownerAndMode(local),
      ...["stdout", "stderr"].map((stream) => readFileSync(join(local, `old.${stream}`), "utf8")),
    ];
    const before = seen();
    expect(before).toEqual([`${NOBODY} 750`, "kept\n", "too\n"]);
    for (const part of [
      { workDir: "/nowhere" },
      { workDir: "/local/nowhere" },
      { mounts: [{ source: join(scratch.path, "tree"), target: "/etc/passwd", readOnly: true }] },
    ]) {
      await failure(daemon.configure({ ...request, ...part, command: "true", user: "daemon" }));
      expect(seen()).toEqual(before);
    }
    // What can be is the new user's.
    expect((await daemon.run("pwd; stat -c '%u %a' .", { ...request, user: "daemon" })).stdout).toBe(
      "/local\n1 700\n",
    );
  });
});

it("a task that nobody starts is dropped in time: its waiters get NEVER_STARTED", async () => {
  await using impatient = await TestDaemon.start({ unstarted_ttl_seconds: 1 });
  const id = await impatient.configure({ command: "/bin/true" });
  const { exit } = await impatient.client.wait(id);
  expect(exit).toMatchObject({
    reason: ExitReason.EXIT_REASON_NEVER_STARTED,
    status: { $case: "unknown", value: true },
    startedAt: undefined,
  });
  expect(impatient.leftovers()).toEqual([]);
  const error = await failure(impatient.client.start(id));
  expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "ENDED" });
});
