/** mounts and work_dir: host paths where a task asks for them, as far as policy goes. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { ChrootMethod, type ConfigureFields, type Mount } from "../../src/client";
import { failure, isRoot, TestDaemon } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { allocs, ownerAndMode, records, Scratch } from "../support/task-files";

/** Prints a file. */
const SHOW = `
#include <stdio.h>

int main(int argc, char **argv)
{
	FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;

	if (!file)
		return 1;
	for (int c; (c = getc(file)) != EOF;)
		putchar(c);
	return 0;
}
`;

const DEFAULT = ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib"];

let daemon: TestDaemon;
let scratch: Scratch;

beforeAll(async () => {
  scratch = new Scratch();
  scratch.sh(`
    mkdir -p shown/deep shown/programs written outside
    echo one >shown/one; echo two >shown/deep/two; echo secret >outside/secret; echo old >written/old
    chmod 777 shown written; chmod 666 shown/one written/old
    ln -s deep shown/inward; ln -s ../outside shown/outward; ln -s /etc shown/etc; ln -s ../written shown/rw
  `);
  scratch.compile("shown/programs/show", SHOW);
  daemon = await TestDaemon.start({
    allowed_paths: [
      ...[...DEFAULT, join(scratch.path, "shown")].map((path) => ({ path })),
      { path: join(scratch.path, "written"), writable: true },
    ],
  });
});

afterEach(() => expectNothingLeft(daemon));

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

function mount(source: string, target: string, readOnly = true): Mount {
  return { source: join(scratch.path, source), target, readOnly };
}

/** What of a mount's flags says what can be done in it. */
const FLAGS = ["ro", "rw", "nosuid", "nodev", "noexec"];

const SHOWN = "ro nosuid nodev";
const WRITTEN = "rw nosuid nodev";
const DEVICE = "rw nosuid noexec";

/** Every mount that a task has, whatever it asks for, with its flags. */
const OWN: Readonly<Record<string, string>> = {
  "/": SHOWN,
  // Where it is the task's user's, it is sealed, with the shared directories on top.
  ...(isRoot()
    ? { "/alloc": WRITTEN }
    : { "/alloc": SHOWN, "/alloc/data": WRITTEN, "/alloc/logs": WRITTEN, "/alloc/tmp": WRITTEN }),
  "/local": WRITTEN,
  "/tmp": WRITTEN,
  "/proc": "ro nosuid nodev noexec",
  "/dev": "ro nosuid noexec",
  "/dev/pts": DEVICE,
  "/dev/shm": WRITTEN,
  ...Object.fromEntries(
    ["full", "null", "random", "tty", "urandom", "zero"].map((name) => [`/dev/${name}`, DEVICE]),
  ),
};

/** The target and the flags of each line of a mountinfo, sorted. */
function flagsOf(mountinfo: string): [string, string][] {
  return mountinfo
    .trim()
    .split("\n")
    .map((line) => line.split(" "))
    .map(([, , , , target = "", flags = ""]): [string, string] => {
      const has = flags.split(",");
      return [target, FLAGS.filter((flag) => has.includes(flag)).join(" ")];
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** With what the host has mounted below a bind: it has the bind's flags. */
function expectFlags(mountinfo: string, binds: Readonly<Record<string, string>>): void {
  const table = { ...OWN, ...binds };
  const found = flagsOf(mountinfo);
  const below = found
    .filter(([target]) => !(target in table))
    .map(([target]): [string, string] => {
      const [, flags = ""] = Object.entries(binds).find(([bind]) => target.startsWith(`${bind}/`)) ?? [];
      return [target, flags];
    });
  const expected = [...Object.entries(table), ...below].sort(([a], [b]) => (a < b ? -1 : 1));
  expect(found).toEqual(expected);
}

describe("each mount of a task", () => {
  const programs = ["/bin", "/lib", "/lib64", "/usr/bin", "/usr/lib"].filter((path) => existsSync(path));

  it("has its exact flags where the host's paths are bound", async () => {
    const { stdout } = await daemon.run("cat /proc/self/mountinfo", {
      chroot: Object.fromEntries(programs.map((path) => [path, path])),
      mounts: [mount("shown", "/shown"), mount("written", "/deep/written", false)],
    });
    expectFlags(stdout, {
      ...Object.fromEntries(programs.map((path) => [path, SHOWN])),
      "/shown": SHOWN,
      "/deep/written": WRITTEN,
    });
  });

  it("has its exact flags where they are linked", async () => {
    const { stdout } = await daemon.run("", {
      command: "/linked/show",
      args: ["/proc/self/mountinfo"],
      chroot: { [join(scratch.path, "shown/programs")]: "/linked" },
      chrootMethod: ChrootMethod.CHROOT_METHOD_LINK,
      mounts: [mount("shown", "/shown"), mount("written", "/written", false)],
    });
    expectFlags(stdout, { "/linked": SHOWN, "/shown": SHOWN, "/written": WRITTEN });
  });
});

describe("a read-only mount", () => {
  it("shows a directory, in which nothing can be written, not even what is open to all", async () => {
    const { stdout, stderr } = await daemon.run(
      "cd /data; cat one deep/two; echo x >one; echo x >new; echo x >deep/new; mkdir dir; rm one; chmod 600 one",
      { mounts: [mount("shown", "/data")] },
    );
    expect(stdout).toBe("one\ntwo\n");
    expect(stderr.match(/Read-only file system/g)).toHaveLength(6);
    expect(readFileSync(join(scratch.path, "shown/one"), "utf8")).toBe("one\n");
  });

  it("shows a file, at a target of any depth", async () => {
    const { stdout } = await daemon.run("cat /a/b/c/single; ls -A /a/b /a/b/c", {
      mounts: [mount("shown/one", "/a/b/c/single")],
    });
    expect(stdout).toBe("one\n/a/b:\nc\n\n/a/b/c:\nsingle\n");
  });

  it("may be of a path that is writable, too", async () => {
    const { stderr } = await daemon.run("echo x >/data/old", { mounts: [mount("written", "/data")] });
    expect(stderr).toContain("Read-only file system");
  });

  it("can lie in another", async () => {
    const { stdout } = await daemon.run("cat /data/deep/old /data/one", {
      mounts: [mount("written", "/data/deep"), mount("shown", "/data")],
    });
    expect(stdout).toBe("old\none\n");
  });

  itRequires("root", "is read-only, nosuid and nodev in what is mounted below it, too", async () => {
    scratch.sh(`
      mkdir shown/sub; mount -t tmpfs -o mode=777 none shown/sub
      mkdir shown/sub/sub; mount -t tmpfs -o mode=777 none shown/sub/sub
      echo deep >shown/sub/sub/file; chmod 666 shown/sub/sub/file
      cp /usr/bin/id shown/sub/id; chmod 6755 shown/sub/id; mknod -m 666 shown/sub/zero c 1 5
    `);
    try {
      const { stdout, stderr } = await daemon.run(
        "cat /data/sub/sub/file; echo x >/data/sub/new; echo x >/data/sub/sub/file; /data/sub/id -u;" +
          "head -c 1 /data/sub/zero | wc -c",
        { mounts: [mount("shown", "/data")] },
      );
      expect(stdout).toBe("deep\n65534\n0\n");
      expect(stderr.match(/Read-only file system/g)).toHaveLength(2);
      expect(stderr).toContain("/data/sub/zero");
      expect(scratch.sh("cat shown/sub/sub/file")).toBe("deep\n");
    } finally {
      scratch.sh("umount shown/sub/sub shown/sub; rmdir shown/sub");
    }
  });

  itRequires("root", "does not show what the host mounts later, though it is of a shared mount", async () => {
    scratch.sh(`
      mkdir shown/shared; mount -t tmpfs none shown/shared; mount --make-shared shown/shared
      mkdir shown/shared/later
    `);
    const id = await daemon.configure({
      args: ["-c", "ls -A /data/shared; ls -A /data/shared/later; cut -d' ' -f5,7 /proc/self/mountinfo"],
      command: "/bin/sh",
      mounts: [mount("shown", "/data")],
    });
    scratch.sh("mount -t tmpfs none shown/shared/later; touch shown/shared/later/file");
    try {
      await daemon.client.start(id);
      await daemon.client.wait(id);
      const [listed, mounts = ""] = (await daemon.output(id)).stdout.split(/(?<=^later\n)/);
      expect(listed).toBe("later\n");
      expect(mounts).toMatch(/^\/data\/shared -$/m);
      // Each has "-" where one that takes mounts from elsewhere, or gives them, would have its peers.
      expect(
        mounts
          .trim()
          .split("\n")
          .filter((line) => !line.endsWith(" -")),
      ).toEqual([]);
    } finally {
      scratch.sh("umount shown/shared/later shown/shared; rmdir shown/shared");
    }
  });
});

describe("a writable mount", () => {
  it("is written through, as the task's user, where configuration allows it", async () => {
    await daemon.run("echo new >/data/new; echo more >>/data/old", {
      mounts: [mount("written", "/data", false)],
    });
    expect(scratch.sh("cat written/new written/old")).toBe("new\nold\nmore\n");
    const user = isRoot() ? "65534:65534" : `${process.geteuid?.()}:${process.getegid?.()}`;
    expect(ownerAndMode(join(scratch.path, "written/new"))).toBe(`${user} 644`);
  });

  itRequires("root", "honours neither setuid nor devices", async () => {
    scratch.sh("cp /usr/bin/id written/id; chmod 6755 written/id; mknod -m 666 written/zero c 1 5");
    const { stdout, stderr } = await daemon.run("/data/id -u; cat /data/zero | head -c 1 | wc -c", {
      mounts: [mount("written", "/data", false)],
    });
    expect(stdout).toBe("65534\n0\n");
    expect(stderr).toContain("/data/zero: Permission denied");
  });
});

describe("a source", () => {
  it("that is a symlink to what is allowed is resolved", async () => {
    const { stdout } = await daemon.run("cat /data/two", { mounts: [mount("shown/inward", "/data")] });
    expect(stdout).toBe("two\n");
  });

  const refusals: [string, () => Mount][] = [
    ["that is a symlink out of the allowed path", () => mount("shown/outward", "/data")],
    ["whose way leads over such a symlink", () => mount("shown/outward/secret", "/data")],
    ["that is not allowed", () => mount("outside", "/data")],
    ["that holds an allowed path", () => mount("", "/data")],
    ["that only begins like an allowed path", () => mount("shown-not", "/data")],
    ["that is not there, outside the allowed path", () => mount("nowhere", "/data")],
    ["that is to be written and must not be", () => mount("shown", "/data", false)],
    [
      "that is a path of the default map, to be written",
      () => ({ source: "/etc", target: "/x", readOnly: false }),
    ],
    ["to be written, over a read-only symlink", () => mount("shown/rw", "/data", false)],
  ];
  for (const [what, make] of refusals) {
    it(`${what} is refused, and changes nothing`, async () => {
      const before = [records(daemon), allocs(daemon)];
      const error = await failure(daemon.configure({ command: "true", mounts: [make()] }));
      expect(error).toMatchObject({
        code: "PERMISSION_DENIED",
        reason: "PATH_FORBIDDEN",
        field: "mounts[0].source",
      });
      expect(error.message).not.toContain(scratch.path);
      expect([records(daemon), allocs(daemon)]).toEqual(before);
    });
  }

  it("that is not there, where it would be allowed, fails Configure and names the target alone", async () => {
    const before = [records(daemon), allocs(daemon)];
    const error = await failure(
      daemon.configure({ command: "true", mounts: [mount("shown/absent", "/data")] }),
    );
    expect(error).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "SANDBOX_FAILED",
      metadata: { errno: "ENOENT", target: "/data" },
    });
    expect(error.message).not.toContain(scratch.path);
    expect([records(daemon), allocs(daemon)]).toEqual(before);
  });
});

describe("a target in another mount", () => {
  const missing: [string, () => Mount[], number][] = [
    ["a writable one", () => [mount("written", "/data", false), mount("shown", "/data/a/b")], 1],
    [
      "a writable one, for a file",
      () => [mount("shown/one", "/data/one"), mount("written", "/data", false)],
      0,
    ],
    ["a read-only one", () => [mount("shown", "/data"), mount("written", "/data/none")], 1],
    ["a path of the chroot map", () => [mount("shown", "/etc/no-such")], 0],
  ];
  for (const [what, mounts, index] of missing) {
    it(`is not made in ${what}: it must be there`, async () => {
      const before = [records(daemon), allocs(daemon), scratch.sh("find . -printf '%p %u\n' | sort")];
      const error = await failure(daemon.configure({ command: "true", mounts: mounts() }));
      expect(error).toMatchObject({
        code: "FAILED_PRECONDITION",
        reason: "SANDBOX_FAILED",
        field: `mounts[${index}].target`,
        metadata: { stage: "mount_binds", errno: "EXDEV", target: mounts()[index]?.target },
      });
      expect([records(daemon), allocs(daemon), scratch.sh("find . -printf '%p %u\n' | sort")]).toEqual(
        before,
      );
    });
  }

  it("is mounted on where it is there, directory or file", async () => {
    const { stdout } = await daemon.run("head -n 1 /data/deep/old && cat /data/one", {
      mounts: [mount("shown", "/data"), mount("written", "/data/deep"), mount("shown/deep/two", "/data/one")],
    });
    expect(stdout).toBe("old\ntwo\n");
  });
});

describe("a target", () => {
  const refusals: [string, string][] = [
    ["the task's root", "/"],
    ["relative", "data"],
    ["with ..", "/data/../etc"],
    ["with .", "/./data"],
    ["with an empty part", "/a//b"],
    ["with a slash at its end", "/data/"],
    ["empty", ""],
    ["/proc", "/proc"],
    ["below /dev", "/dev/null"],
    ["/tmp", "/tmp"],
    ["below /local", "/local/x"],
    ["below /alloc", "/alloc/data"],
    ["a path of the chroot map", "/etc"],
  ];
  for (const [what, target] of refusals) {
    it(`that is ${what} is refused, and changes nothing`, async () => {
      const before = [records(daemon), allocs(daemon)];
      const request: ConfigureFields = {
        command: "true",
        mounts: [mount("shown", "/fine"), mount("shown", target)],
      };
      const error = await failure(daemon.configure(request));
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT", field: "mounts[1].target" });
      expect([records(daemon), allocs(daemon)]).toEqual(before);
    });
  }

  it.each([
    ["is below a file", "/fine/one/x", "ENOTDIR", "ENOTDIR"],
    ["is not there in another mount", "/fine/none", "EXDEV", "it lies in another mount, and is not there"],
  ])("that %s fails Configure, is named, and changes nothing", async (_, target, errno, why) => {
    const before = [records(daemon), allocs(daemon)];
    // Mounted in the order of their paths, whatever theirs in the request.
    const mounts = [mount("shown/deep", target), mount("shown", "/fine")];
    const error = await failure(daemon.configure({ command: "true", mounts }));
    expect(error).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "SANDBOX_FAILED",
      field: "mounts[0].target",
      metadata: { stage: "mount_binds", errno, target },
      message: `cannot mount ${target}: ${why}`,
    });
    expect([records(daemon), allocs(daemon)]).toEqual(before);
  });

  it("may be one of 1024", async () => {
    const mounts = Array.from({ length: 1024 }, (_, index) => mount("shown/one", `/many/${index}`));
    const { stdout } = await daemon.run("ls /many | wc -l; cat /many/1023", { mounts });
    expect(stdout).toBe("1024\none\n");
  });

  it("that leads over a symlink which an earlier run left stays inside the root", async () => {
    const request = { allocId: daemon.freshName(), taskName: "web" };
    await daemon.run("ln -s / /local/root", request);
    const { stdout } = await daemon.run("cat /data/one; ls -d /local/root", {
      ...request,
      mounts: [mount("shown", "/data")],
    });
    expect(stdout).toBe("one\n/local/root\n");
  });
});

describe("work_dir", () => {
  for (const [what, workDir, expected] of [
    ["is /local where nothing is said", "", "/local"],
    ["may be any directory of the root", "/usr/bin", "/usr/bin"],
    ["may be the root", "/", "/"],
    ["may be a mount", "/data/deep", "/data/deep"],
    ["may be the shared directory", "/alloc/data", "/alloc/data"],
    ["may be /tmp", "/tmp", "/tmp"],
  ] as const) {
    it(what, async () => {
      const { stdout } = await daemon.run("pwd -P", { workDir, mounts: [mount("shown", "/data")] });
      expect(stdout).toBe(`${expected}\n`);
    });
  }

  itRequires("root", "is entered as the task's user: one that is closed to it is refused", async () => {
    scratch.sh("mkdir -m 700 shown/closed");
    const error = await failure(
      daemon.configure({
        command: "true",
        workDir: "/data/closed",
        mounts: [mount("shown", "/data")],
      }),
    );
    expect(error).toMatchObject({
      code: "FAILED_PRECONDITION",
      field: "work_dir",
      metadata: { stage: "enter_work_dir", errno: "EACCES" },
    });
    scratch.sh("rmdir shown/closed");
  });
});
