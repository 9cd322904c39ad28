import { DEFAULT_CHROOT } from "../../../src/tasks/request/default-chroot";
import { MountPlans } from "../../../src/tasks/request/mount-plans";

const ALLOWED = [...DEFAULT_CHROOT.map(({ source }) => source), "/srv", "/data"].map((path) => ({
  path,
  writable: false,
}));

/** A host on which every path is real, and the looks at it. */
function host(): { plans: MountPlans; looks: string[] } {
  const looks: string[] = [];
  const plans = new MountPlans(ALLOWED, {
    realpath: (path) => {
      looks.push(path);
      return Promise.resolve(path);
    },
    readlink: () => Promise.resolve(undefined),
    taskDirectory: (allocId, taskName) => Promise.resolve(`/data/alloc/${allocId}/${taskName}`),
    ownDirectories: () => Promise.resolve(["/data/alloc", "/data/state"]),
  });
  return { plans, looks };
}

const wanted = {
  allocId: "a",
  taskName: "t",
  chroot: DEFAULT_CHROOT,
  chrootMethod: "bind",
  mounts: [],
} as const;

it("the default chroot is looked up once for many tasks, and anew after a while", async () => {
  jest.useFakeTimers();
  try {
    const { plans, looks } = host();
    const first = await plans.of(wanted);
    const once = looks.length;
    expect(await plans.of(wanted)).toEqual(first);
    expect(looks).toHaveLength(once);
    jest.advanceTimersByTime(1_001);
    expect(await plans.of(wanted)).toEqual(first);
    expect(looks).toHaveLength(2 * once);
  } finally {
    jest.useRealTimers();
  }
});

it("links and binds are told apart", async () => {
  const { plans } = host();
  const binds = await plans.of(wanted);
  const links = await plans.of({ ...wanted, chrootMethod: "link" });
  expect(binds.map(({ link }) => link)).not.toContain(true);
  expect(links.map(({ link }) => link)).not.toContain(false);
});

it.each([
  ["a chroot of the request's", { chroot: [{ source: "/srv", target: "/srv" }] }],
  ["mounts", { mounts: [{ source: "/srv", target: "/srv", readOnly: true }] }],
])("%s: looked up for each task", async (_, own) => {
  const { plans, looks } = host();
  await plans.of({ ...wanted, ...own });
  const once = looks.length;
  await plans.of({ ...wanted, ...own });
  expect(looks).toHaveLength(2 * once);
});

it.each([
  ["/data/alloc/a/t", true],
  ["/data/alloc/a/t/local/x", true],
  ["/data/alloc/a", true],
  ["/data/alloc", true],
  ["/data", true],
  ["/data/all", false],
])("of a chroot map of %s it is said whether it is one onto itself: %s", async (source, isOwn) => {
  const plan = host().plans.of({ ...wanted, chroot: [{ source, target: "/x" }] });
  const refusal = { reason: "FIELD_INVALID", field: "chroot" };
  if (isOwn) await expect(plan).rejects.toMatchObject(refusal);
  else expect(await plan).toMatchObject([{ source }]);
});

it.each([
  ["/data/alloc/a/alloc", true],
  ["/data/alloc/a/t2", true],
  ["/data/state", true],
  ["/data/state/tasks/1/log", true],
  ["/data/statement", false],
])("%s, of the daemon's own directories, is refused wherever it is asked for: %s", async (source, isOwn) => {
  const asked = [
    ["chroot", { chroot: [{ source, target: "/x" }] }],
    ["mounts[0].source", { mounts: [{ source, target: "/x", readOnly: true }] }],
  ] as const;
  for (const [field, own] of asked) {
    const plan = host().plans.of({ ...wanted, ...own });
    if (isOwn) await expect(plan).rejects.toMatchObject({ reason: "PATH_FORBIDDEN", field });
    else expect(await plan).toContainEqual(expect.objectContaining({ source }));
  }
});
