/** Sources in the daemon's own directories: a chroot map of the task's, in which its root is made, and what is others'. */
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { ChrootMethod } from "../../src/client";
import { failure, TestDaemon } from "../support/daemon";
import { footprint } from "../support/footprint";
import { expectNothingLeft } from "../support/leftovers";

const METHODS = [
  ["BIND", ChrootMethod.CHROOT_METHOD_BIND],
  ["LINK", ChrootMethod.CHROOT_METHOD_LINK],
] as const;

let daemon: TestDaemon;
/** The directory of a task that is to be, with what an earlier one has left. */
let taskDir: string;

beforeAll(async () => {
  const allowed = [tmpdir(), "/bin", "/etc", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib"];
  daemon = await TestDaemon.start({ allowed_paths: allowed.map((path) => ({ path })) });
});

beforeEach(async () => {
  await daemon.run("echo kept >/local/kept; echo shared >/alloc/data/shared", {
    allocId: "a",
    taskName: "t",
  });
  taskDir = join(daemon.allocDir("a"), "t");
});

afterEach(() => expectNothingLeft(daemon));

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

describe.each(METHODS)("%s refuses, and leaves all as it was,", (_name, chrootMethod) => {
  it.each<readonly [what: string, source: () => string]>([
    ["the task's directory", () => taskDir],
    ["what is in it", () => join(taskDir, "local")],
    ["the directory of its alloc", () => dirname(taskDir)],
    ["the directory of all allocs", () => dirname(dirname(taskDir))],
    ["the daemon's directory", () => daemon.daemon.directory],
  ])("%s", async (_what, source) => {
    const before = footprint(daemon);
    const error = await failure(
      daemon.client.configure({
        allocId: "a",
        taskName: "t",
        command: "/bin/true",
        chroot: { "/bin": "/bin", [source()]: "/x" },
        chrootMethod,
        allowUnenforced: true,
      }),
    );
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", field: "chroot" });
    expect(error.message).not.toContain(daemon.daemon.directory);
    expect(footprint(daemon)).toEqual(before);
  });
});

describe("what is another task's, or the daemon's, is given to no task, though paths around it are allowed", () => {
  it.each<readonly [what: string, source: (id: string) => string]>([
    ["/alloc of another alloc", () => join(daemon.allocDir("other"), "alloc/data")],
    ["/local of another task", () => join(daemon.allocDir("other"), "t/local")],
    ["the log of another task", (id) => join(daemon.recordDir(id), "log/stdout")],
  ])("%s", async (_what, source) => {
    const { id } = await daemon.run("echo secret; echo secret >/alloc/data/secret", {
      allocId: "other",
      taskName: "t",
    });
    const before = footprint(daemon);
    const show = { allocId: "a", taskName: "t", command: "/bin/true", allowUnenforced: true };
    const mounts = [{ source: source(id), target: "/x", readOnly: true }];
    expect(await failure(daemon.client.configure({ ...show, mounts }))).toMatchObject({
      code: "PERMISSION_DENIED",
      reason: "PATH_FORBIDDEN",
      field: "mounts[0].source",
    });
    const chroot = { "/bin": "/bin", [source(id)]: "/x" };
    for (const [, chrootMethod] of METHODS) {
      const error = await failure(daemon.client.configure({ ...show, chroot, chrootMethod }));
      expect(error).toMatchObject({ reason: "PATH_FORBIDDEN", field: "chroot" });
    }
    expect(footprint(daemon)).toEqual(before);
  });
});
