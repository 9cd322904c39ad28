/** LINK: the host's trees made again by hard links, and copies where there can be none. */
import { existsSync, lstatSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { ChrootMethod, type ConfigureFields } from "../../src/client";
import { cyclesDuring, cyclesUntil } from "../support/cycles";
import { failure, isRoot, TestDaemon, until } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { allocs, entries, ownerAndMode, records, Scratch } from "../support/task-files";

const DEFAULT = ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib"];
/** Less than the big file of the test's trees, more than the small ones. */
const LINK_BYTES = 1 << 20;
/** More of other tasks than can be over before an embedding that holds them up is. */
const MANY_CYCLES = 10;

/** Prints its arguments' first bytes, tries to write each, and says with which ids it runs. */
const PROBE = `
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	printf("ids %d %d\\n", (int)getuid(), (int)geteuid());
	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_WRONLY);
		printf("%s %s\\n", argv[i], fd < 0 ? strerror(errno) : "written");
		if (fd >= 0 && write(fd, "x", 1) != 1)
			return 1;
	}
	return 0;
}
`;

let daemon: TestDaemon;
let scratch: Scratch;
/** The tree that most tests embed, in the same file system as the alloc directory. */
let tree: string;

function config(): Record<string, unknown> {
  return {
    allowed_paths: [...DEFAULT, scratch.path].map((path) => ({ path })),
    link_bytes: LINK_BYTES,
  };
}

beforeAll(async () => {
  scratch = new Scratch();
  scratch.compile("probe", PROBE);
  scratch.sh(`
    mkdir -p tree/deep/er tree/closed
    echo secret >outside
    echo one >tree/one; ln tree/one tree/deep/same; echo two >tree/deep/er/two
    cp probe tree/probe
    ln -s one tree/relative; ln -s ../../outside tree/deep/out; ln -s /etc/shadow tree/absolute
    ln -s "$PWD/outside" tree/host; ln -s "$PWD" tree/hostdir; ln -s nowhere tree/dangling
    mkfifo tree/fifo; chmod 640 tree/deep/er/two; chmod 711 tree/closed
  `);
  tree = join(scratch.path, "tree");
  daemon = await TestDaemon.start(config());
});

afterEach(() => expectNothingLeft(daemon));

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** A request for the probe and the trees alone: what it runs is linked as well. */
function link(request: ConfigureFields): ConfigureFields {
  return {
    chroot: { [tree]: "/data" },
    chrootMethod: ChrootMethod.CHROOT_METHOD_LINK,
    command: "/data/probe",
    args: [],
    ...request,
  };
}

/** Configures it, and hands over its tree as it is on the host before it is started. */
async function embedded<T>(request: ConfigureFields, use: (root: string) => T): Promise<T> {
  const name = daemon.freshName();
  const id = await daemon.configure(link({ allocId: name, taskName: "linked", ...request }));
  try {
    return use(join(daemon.allocDir(name), "linked"));
  } finally {
    await daemon.client.forceStop(id);
    expect(entries(daemon, name)).toEqual(["alloc", "linked"]);
  }
}

describe("a tree in the alloc directory's file system", () => {
  it("is linked: the same inodes, hard links of the host included, and nothing is copied", () =>
    embedded({}, (root) => {
      for (const file of ["one", "deep/same", "deep/er/two", "probe"]) {
        const [host, linked] = [statSync(join(tree, file)), statSync(join(root, "data", file))];
        expect([linked.dev, linked.ino]).toEqual([host.dev, host.ino]);
      }
    }));

  it("keeps owners and modes, of the linked files and of the directories", async () => {
    const list = (root: string): string[] =>
      ["", "one", "deep", "deep/er", "deep/er/two", "closed"].map(
        (file) => `${file} ${ownerAndMode(join(root, file))}`,
      );
    const before = list(tree);
    await embedded({}, (root) => expect(list(join(root, "data"))).toEqual(before));
    expect(list(tree)).toEqual(before);
  });

  it("has its symlinks kept as they are, and what they lead to outside is not there", async () => {
    await embedded({}, (root) => {
      const data = join(root, "data");
      expect(scratch.sh(`cd ${data} && readlink relative deep/out absolute host hostdir dangling`)).toBe(
        `one\n../../outside\n/etc/shadow\n${scratch.path}/outside\n${scratch.path}\nnowhere\n`,
      );
    });
    const links = ["deep/out", "absolute", "host", "hostdir/outside", "dangling"];
    const { stdout } = await daemon.run("", link({ args: links.map((name) => `/data/${name}`) }));
    expect(stdout.trim().split("\n").slice(1)).toEqual(
      links.map((name) => `/data/${name} No such file or directory`),
    );
  });

  it("comes without its fifos", () =>
    embedded({}, (root) => {
      expect(existsSync(join(tree, "fifo"))).toBe(true);
      expect(existsSync(join(root, "data/fifo"))).toBe(false);
    }));

  itRequires("root", "comes without its devices and sockets", async () => {
    scratch.sh("mkdir -p odd; cp probe odd/; mknod odd/null c 1 3; mknod odd/disk b 7 0; mknod odd/fifo p");
    await embedded({ chroot: { [join(scratch.path, "odd")]: "/data" } }, (root) =>
      expect(scratch.sh(`ls ${root}/data`)).toBe("probe\n"),
    );
  });

  it("goes at the task's end, and the host's files stay", async () => {
    const before = scratch.sh("find tree -printf '%p %i %m %u %n\\n' | sort");
    const allocId = daemon.freshName();
    const { exit } = await daemon.run("", link({ allocId, taskName: "linked" }));
    expect(exit.status).toEqual({ $case: "exitCode", value: 0 });
    expect(existsSync(join(daemon.allocDir(allocId), "linked/data"))).toBe(false);
    expect(entries(daemon, allocId)).toEqual(["alloc", "linked"]);
    expect(scratch.sh("find tree -printf '%p %i %m %u %n\\n' | sort")).toBe(before);
  });

  it("of one file is that file", async () => {
    const { stdout } = await daemon.run(
      "",
      link({
        chroot: { [join(tree, "probe")]: "/bin/probe", [join(tree, "one")]: "/one" },
        command: "/bin/probe",
      }),
    );
    expect(stdout).toMatch(/^ids /);
  });
});

itRequires("root", "a file of the task's user in the source cannot be written through", async () => {
  scratch.sh(
    "mkdir owned; cp probe owned/; cp probe owned/program; echo mine >owned/file; chown -R 65534 owned; chmod 666 owned/file",
  );
  const { stdout } = await daemon.run(
    "",
    link({ chroot: { [join(scratch.path, "owned")]: "/data" }, args: ["/data/file", "/data/program"] }),
  );
  expect(stdout.split("\n").slice(1, 3)).toEqual([
    "/data/file Read-only file system",
    "/data/program Read-only file system",
  ]);
  expect(readFileSync(join(scratch.path, "owned/file"), "utf8")).toBe("mine\n");
});

itRequires("root", "a setuid program that is linked gives its owner's ids to nobody", async () => {
  scratch.sh("mkdir setuid; cp probe setuid/probe; chmod 6755 setuid/probe");
  const { stdout } = await daemon.run("", link({ chroot: { [join(scratch.path, "setuid")]: "/data" } }));
  expect(stdout).toBe("ids 65534 65534\n");
  // It is the host's own inode, hence as it was.
  expect((lstatSync(join(scratch.path, "setuid/probe")).mode & 0o7777).toString(8)).toBe("6755");
});

describe("a tree in another file system", () => {
  let other: string;

  beforeAll(() => {
    if (!isRoot()) return;
    scratch.sh(`
      mkdir other; mount -t tmpfs -o size=16m none other
      cp probe other/; chmod 6755 other/probe; echo one >other/one; chown 1:1 other/one; chmod 640 other/one
      ln other/one other/same; ln -s one other/link; mkfifo other/fifo; mknod other/null c 1 3
      mkdir big; mount -t tmpfs -o size=16m none big
      head -c ${LINK_BYTES + 1} /dev/zero >big/file; cp probe big/
      mkdir tree/mounted; mount -t tmpfs none tree/mounted; echo deep >tree/mounted/file
    `);
    other = join(scratch.path, "other");
  });

  afterAll(() => {
    if (isRoot()) scratch.sh("umount other big tree/mounted; rmdir tree/mounted");
  });

  itRequires(
    "root",
    "is copied, with owner and mode, less setuid and setgid; devices and fifos skipped",
    () =>
      embedded({ chroot: { [other]: "/data" } }, (root) => {
        const data = join(root, "data");
        expect(statSync(join(data, "one")).dev).not.toBe(statSync(join(other, "one")).dev);
        expect(readFileSync(join(data, "one"), "utf8")).toBe("one\n");
        expect(ownerAndMode(join(data, "one"))).toBe("1:1 640");
        expect(ownerAndMode(join(data, "probe"))).toBe("0:0 755");
        expect(scratch.sh(`cd ${data} && ls && readlink link && cat same`)).toBe(
          "link\none\nprobe\nsame\none\none\n",
        );
      }),
  );

  itRequires("root", "below a tree that is linked is copied as well", () =>
    embedded({}, (root) => {
      expect(readFileSync(join(root, "data/mounted/file"), "utf8")).toBe("deep\n");
      expect(statSync(join(root, "data/one")).ino).toBe(statSync(join(tree, "one")).ino);
    }),
  );

  itRequires("root", "is refused beyond link_bytes, and nothing is left", async () => {
    const before = [records(daemon), allocs(daemon)];
    const error = await failure(daemon.configure(link({ chroot: { [join(scratch.path, "big")]: "/data" } })));
    expect(error).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "LINK_BYTES_EXCEEDED" });
    expect([records(daemon), allocs(daemon)]).toEqual(before);
  });
});

/** A tree of 60,001 files, which takes a while to link. */
function manyFiles(): string {
  scratch.sh(`
    test -e many && exit; mkdir -p many/1; cp probe many/; (cd many/1; seq 100 | xargs touch)
    for d in $(seq 2 600); do cp -al many/1 many/$d; done
  `);
  return join(scratch.path, "many");
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

itRequires(
  "root",
  "while 60,000 files are linked, and removed, other tasks run from Configure to their end as they do alone",
  async () => {
    const many = manyFiles();
    const allocId = daemon.freshName();
    let left = MANY_CYCLES;
    const alone = await cyclesUntil(daemon, () => left-- === 0);
    const unhindered = 5 * median(alone) + 50;

    const configured = daemon.configure(link({ allocId, taskName: "big", chroot: { [many]: "/data" } }));
    const linking = await cyclesDuring(daemon, configured);
    const id = await configured;
    const data = join(daemon.allocDir(allocId), "big/data");
    expect(scratch.sh(`find ${data} -type f | wc -l`).trim()).toBe("60001");
    const removing = await cyclesDuring(daemon, daemon.client.forceStop(id));
    expect(existsSync(data)).toBe(false);

    expect(linking.length).toBeGreaterThan(2);
    expect(median(linking)).toBeLessThan(unhindered);
    expect(removing.length).toBeGreaterThan(0);
    expect(median(removing)).toBeLessThan(unhindered);
  },
);

itRequires("root", "a Configure is given up when its daemon stops, and leaves nothing", async () => {
  await using own = await TestDaemon.start(config());
  const allocId = own.freshName();
  const chroot = { [manyFiles()]: "/data" };
  const call = failure(own.configure(link({ allocId, taskName: "big", chroot })));
  await until(() => existsSync(join(own.allocDir(allocId), "big/data")));
  process.kill(own.pid, "SIGTERM");
  expect(await call).toMatchObject({ code: "UNAVAILABLE", reason: "STOPPING" });
  await until(() => !existsSync(`/proc/${own.pid}`));
  expect([records(own), allocs(own)]).toEqual([[], []]);
});

itRequires(
  "root",
  "a Configure that fails late leaves what a task of its alloc has done meanwhile",
  async () => {
    const allocId = daemon.freshName();
    const chroot = { [manyFiles()]: "/data" };
    const late = failure(daemon.configure(link({ allocId, taskName: "late", chroot, workDir: "/nowhere" })));
    await until(() => existsSync(join(daemon.allocDir(allocId), "late/data")));
    await daemon.run("echo kept > /alloc/data/result", { allocId, taskName: "quick" });
    expect(await late).toMatchObject({ reason: "SANDBOX_FAILED", field: "work_dir" });
    expect(readFileSync(join(daemon.allocDir(allocId), "alloc/data/result"), "utf8")).toBe("kept\n");
    expect(entries(daemon, allocId)).toEqual(["alloc", "quick"]);
  },
);

it.each(["alloc", "local", "proc", "dev", "tmp"])(
  "a target that only begins like the task's own /%s is as good as any other",
  async (name) => {
    const target = `/${name}data`;
    const { stdout } = await daemon.run("", link({ chroot: { [tree]: target }, command: `${target}/probe` }));
    expect(stdout).toMatch(/^ids /);
  },
);

describe("a Configure that comes to nothing in a task directory of an earlier run", () => {
  it("leaves no tree in it when it fails, and /local as it was", async () => {
    const request = link({ allocId: daemon.freshName(), taskName: "again" });
    await daemon.run("", request);
    const task = join(daemon.allocDir(request.allocId ?? ""), "again");
    const list = (): string => scratch.sh(`ls ${task} ${task}/local`);
    const before = list();
    const error = await failure(daemon.configure({ ...request, workDir: "/nowhere" }));
    expect(error).toMatchObject({ reason: "SANDBOX_FAILED", field: "work_dir" });
    expect(list()).toBe(before);
  });

  itRequires("root", "leaves no tree in it when it is cancelled", async () => {
    const request = link({ allocId: daemon.freshName(), taskName: "again" });
    await daemon.run("", request);
    const task = join(daemon.allocDir(request.allocId ?? ""), "again");
    const caller = new AbortController();
    const call = daemon.client.configure(
      { ...request, chroot: { [manyFiles()]: "/data" } },
      { signal: caller.signal },
    );
    await until(() => existsSync(join(task, "data")));
    caller.abort();
    expect(await failure(call)).toMatchObject({ code: "CANCELLED" });
    await until(() => scratch.sh(`ls ${task}`) === "local\n");
    await until(() => daemon.leftovers().length === 0);
  });
});

it("a tree that cannot be embedded is named, and nothing is left", async () => {
  scratch.sh(`mkdir -p too-deep/${"d/".repeat(300)}`);
  const request = link({ chroot: { [tree]: "/data", [join(scratch.path, "too-deep")]: "/too-deep" } });
  const error = await failure(daemon.configure(request));
  expect(error).toMatchObject({
    code: "FAILED_PRECONDITION",
    reason: "SANDBOX_FAILED",
    field: "chroot",
    metadata: { stage: "embed_trees", errno: "ELOOP", target: "/too-deep" },
    message: "cannot embed /too-deep: ELOOP",
  });
});

it("what an earlier run left in the way is replaced, not followed", async () => {
  const request = link({ allocId: daemon.freshName(), taskName: "again" });
  const first = await daemon.run("", request);
  const second = await daemon.run("", request);
  expect([first.stdout, second.stdout].map((text) => text.split(" ")[0])).toEqual(["ids", "ids"]);
});
