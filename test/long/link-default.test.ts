/** LINK without a map: the host's own /bin, /etc, /lib, … as a task's root. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { ChrootMethod, type ConfigureFields } from "../../src/client";
import { DEFAULT_CHROOT } from "../../src/tasks/request/default-chroot";
import { cyclesDuring } from "../support/cycles";
import { failure, TestDaemon } from "../support/daemon";
import { exited, exitOf } from "../support/exits";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { allocs, entries, records } from "../support/task-files";

const NAME = "linked";
const TIB = 2 ** 40;
/** More of other tasks than can be over before an embedding, or a removal, that holds them up is. */
const MANY_CYCLES = 10;

/** Set user id, and the host's own: its dynamic linker says whether that has given it anything. */
const SETUID = "/usr/bin/passwd";
const SAMPLE = ["/bin/sh", "/bin/ls", "/etc/passwd", "/etc/shadow", "/etc/group", SETUID];

/** What it sees of itself and of its root, by the host's programs alone; each line but the first two is a breach. */
const SCRIPT = `
  ls -d /bin/sh; id -u
  cat /etc/passwd >/alloc/data/passwd
  cat /proc/self/mountinfo >/alloc/data/mountinfo
  LD_SHOW_AUXV=1 ${SETUID} --help >/alloc/data/auxv 2>&1
  for file in ${SAMPLE.join(" ")}; do if test -w $file; then echo "may write $file"; fi; done
  for dir in / /bin /etc /lib /usr /usr/bin /usr/lib; do
    if touch $dir/new 2>/dev/null; then echo "may write in $dir"; fi
  done
  if cat /etc/shadow 2>/dev/null; then echo "may read /etc/shadow"; fi
`;

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
});

afterAll(() => daemon[Symbol.asyncDispose]());

afterEach(() => expectNothingLeft(daemon));

const REQUEST: ConfigureFields = {
  allocId: NAME,
  taskName: NAME,
  chrootMethod: ChrootMethod.CHROOT_METHOD_LINK,
  command: "/bin/sh",
  args: ["-c", SCRIPT],
};

/** Where the default map's trees cannot be linked, and are more than may be copied: that is said, and nothing is left. */
async function allowCopies(): Promise<void> {
  const error = await failure(daemon.configure(REQUEST));
  expect(error).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "LINK_BYTES_EXCEEDED" });
  expect([records(daemon), allocs(daemon)]).toEqual([[], []]);
  await daemon[Symbol.asyncDispose]();
  daemon = await TestDaemon.start({ link_bytes: TIB });
}

/** Of the file that a path leads to, all that a link to it does not change. */
function inodeOf(path: string): Record<string, bigint> {
  const { dev, ino, mode, uid, gid, size, mtimeNs } = statSync(path, { bigint: true });
  return { dev, ino, mode, uid, gid, size, mtimeNs };
}

/** What the task has written. */
const left = (file: string): string => readFileSync(join(daemon.allocDir(NAME), "alloc/data", file), "utf8");

/** How the default map's trees are mounted, in its order. */
function optionsOf(mountinfo: string): (readonly [string, string[]])[] {
  const mounts = mountinfo.split("\n").map((line) => line.split(" "));
  return DEFAULT_CHROOT.flatMap(({ target }) =>
    mounts
      .filter((fields) => fields[4] === target)
      .map((fields) => [target, (fields[5] ?? "").split(",")] as const),
  );
}

const linksOf = (path: string): number => statSync(path).nlink;

itRequires(
  "root",
  "runs the host's programs read-only, changes none of the host's files, is gone at the end, and holds nobody up",
  async () => {
    const isLinked = statSync(daemon.daemon.directory).dev === statSync("/usr").dev;
    if (!isLinked) await allowCopies();
    const before = SAMPLE.map((path) => [path, inodeOf(path), linksOf(path)]);
    const root = join(daemon.allocDir(NAME), NAME);

    const configured = daemon.configure(REQUEST);
    expect((await cyclesDuring(daemon, configured)).length).toBeGreaterThan(MANY_CYCLES);
    const id = await configured;
    expect(SAMPLE.map((path) => [path, inodeOf(path)])).toEqual(before.map(([path, inode]) => [path, inode]));
    for (const path of isLinked ? SAMPLE : []) {
      // Below the target of the map's entry, which may lead elsewhere on the host: /bin to /usr/bin.
      expect([path, inodeOf(join(root, path))]).toEqual([path, inodeOf(path)]);
    }

    await daemon.client.start(id);
    const ended = exitOf(daemon.client, id);
    expect((await cyclesDuring(daemon, ended)).length).toBeGreaterThan(MANY_CYCLES);
    expect(await ended).toMatchObject(exited(0));
    expect(await daemon.output(id)).toEqual({ stdout: "/bin/sh\n65534\n", stderr: "" });
    expect(left("passwd")).toBe(readFileSync("/etc/passwd", "utf8"));
    expect(optionsOf(left("mountinfo"))).toEqual(
      DEFAULT_CHROOT.filter(({ source }) => existsSync(source)).map(({ target }) => [
        target,
        expect.arrayContaining(["ro", "nosuid", "nodev"]),
      ]),
    );
    // A program that its set-user-id bit makes another user's is silent here: AT_SECURE is 1.
    expect(left("auxv")).toMatch(/^AT_EUID: +65534$/m);
    expect(left("auxv")).toMatch(/^AT_SECURE: +0$/m);

    expect(entries(daemon, NAME)).toEqual(["alloc", NAME]);
    expect(readdirSync(root)).toEqual(["local"]);
    expect(SAMPLE.map((path) => [path, inodeOf(path), linksOf(path)])).toEqual(before);
  },
);
