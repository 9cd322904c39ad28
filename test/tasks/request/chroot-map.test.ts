import { mountSpecs, type MountsWanted } from "../../../src/tasks/request/chroot-map.js";
import { DEFAULT_CHROOT } from "../../../src/tasks/request/default-chroot.js";
import type { AllowedPath } from "../../../src/tasks/request/policy.js";

const EVERYTHING: readonly AllowedPath[] = [{ path: "/", writable: true }];

/** A host by its links; `absent` paths are not there. */
function host(links: Readonly<Record<string, string>>, absent: readonly string[] = []) {
  const realpath = (path: string, depth = 0): string | undefined => {
    if (absent.includes(path) || depth > 40) return undefined;
    const parts = path.split("/").slice(1);
    for (let length = 1; length <= parts.length; length++) {
      const prefix = `/${parts.slice(0, length).join("/")}`;
      const link = links[prefix];
      if (link === undefined) continue;
      const directory = prefix.slice(0, prefix.lastIndexOf("/"));
      const to = new URL(link, `file://${directory}/`).pathname;
      return realpath([to, ...parts.slice(length)].join("/"), depth + 1);
    }
    return path;
  };
  return {
    realpath: (path: string) => Promise.resolve(realpath(path)),
    readlink: (path: string) => Promise.resolve(links[path]),
  };
}

function wanted(parts: Partial<MountsWanted> = {}): MountsWanted {
  return { chroot: DEFAULT_CHROOT, chrootMethod: "bind", mounts: [], ...parts };
}

async function bindsOf(links: Record<string, string>, parts: Partial<MountsWanted> = {}) {
  const specs = await mountSpecs(wanted(parts), EVERYTHING, host(links));
  const asked = [...DEFAULT_CHROOT, ...(parts.mounts ?? [])].map(({ target }) => target);
  return specs
    .filter(({ target }) => !asked.includes(target))
    .map(({ source, target }) => `${source} on ${target}`);
}

describe("the mounts of a task's root", () => {
  it("are the default map by real paths, less what is not there", async () => {
    const links = { "/bin": "usr/bin", "/lib": "usr/lib", "/lib64": "usr/lib64" };
    const specs = await mountSpecs(wanted(), EVERYTHING, host(links, ["/lib32"]));
    expect(specs.map(({ source, target }) => [source, target])).toEqual([
      ["/usr/bin", "/bin"],
      ["/etc", "/etc"],
      ["/usr/lib", "/lib"],
      ["/usr/lib64", "/lib64"],
      ["/usr/bin", "/usr/bin"],
      ["/usr/lib", "/usr/lib"],
    ]);
    for (const spec of specs) {
      expect(spec).toMatchObject({ readOnly: true, optional: true, link: false });
    }
  });

  it("are embedded where LINK is asked for, but further mounts are not", async () => {
    const specs = await mountSpecs(
      wanted({
        chrootMethod: "link",
        chroot: [{ source: "/opt", target: "/opt" }],
        mounts: [{ source: "/srv", target: "/srv", readOnly: false }],
      }),
      EVERYTHING,
      host({}),
    );
    expect(specs).toEqual([
      { source: "/opt", target: "/opt", readOnly: true, optional: true, link: true, field: "chroot" },
      {
        source: "/srv",
        target: "/srv",
        readOnly: false,
        optional: false,
        link: false,
        field: "mounts[0].target",
      },
    ]);
  });

  it("come parents first", async () => {
    const targets = ["/a/b/c", "/a-b", "/a/b", "/a", "/a.b", "/b"];
    const chroot = targets.map((target) => ({ source: "/x", target }));
    const specs = await mountSpecs(wanted({ chroot }), EVERYTHING, host({}));
    expect(specs.map(({ target }) => target)).toEqual(["/a", "/a-b", "/a.b", "/a/b", "/a/b/c", "/b"]);
  });

  it("are refused where something asked for is not there", async () => {
    const mounts = [{ source: "/srv", target: "/x", readOnly: true }];
    await expect(mountSpecs(wanted({ mounts }), EVERYTHING, host({}, ["/srv"]))).rejects.toEqual(
      expect.objectContaining({
        code: "FAILED_PRECONDITION",
        reason: "SANDBOX_FAILED",
        field: "mounts[0].source",
        message: "cannot mount /x: ENOENT",
      }),
    );
  });

  it("are refused by policy, by field", async () => {
    const mounts = [
      { source: "/srv", target: "/x", readOnly: true },
      { source: "/srv", target: "/y", readOnly: false },
    ];
    const allowed = [
      { path: "/srv", writable: false },
      ...DEFAULT_CHROOT.map(({ source }) => ({ path: source, writable: false })),
    ];
    await expect(mountSpecs(wanted({ mounts }), allowed, host({}))).rejects.toEqual(
      expect.objectContaining({ reason: "PATH_FORBIDDEN", field: "mounts[1].source" }),
    );
    const chroot = [{ source: "/opt", target: "/opt" }];
    await expect(mountSpecs(wanted({ chroot }), allowed, host({}))).rejects.toEqual(
      expect.objectContaining({ reason: "PATH_FORBIDDEN", field: "chroot" }),
    );
  });
});

describe("a file of /etc that is a link", () => {
  it("is bound where it leads, if that is not in the map", async () => {
    expect(
      await bindsOf({
        "/etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
        "/etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
      }),
    ).toEqual([
      "/run/systemd/resolve/stub-resolv.conf on /run/systemd/resolve/stub-resolv.conf",
      "/usr/share/zoneinfo/Etc/UTC on /usr/share/zoneinfo/Etc/UTC",
    ]);
  });

  it("is bound by its real file, where its first step out of the map leads", async () => {
    expect(
      await bindsOf({
        "/etc/resolv.conf": "/etc/resolvconf/run/resolv.conf",
        "/etc/resolvconf/run": "/run/resolvconf",
        "/run/resolvconf": "/run/other",
        "/etc/localtime": "/usr/share/zoneinfo/UTC",
        "/usr/share/zoneinfo/UTC": "Etc/UTC",
      }),
    ).toEqual([
      "/run/other/resolv.conf on /run/resolvconf/resolv.conf",
      "/usr/share/zoneinfo/Etc/UTC on /usr/share/zoneinfo/UTC",
    ]);
  });

  it.each<readonly [Record<string, string>, string]>([
    [{ "/etc/localtime": "other" }, "leads to another of /etc"],
    [{ "/etc/localtime": "/usr/lib/zone" }, "leads into the map"],
    [{ "/etc/localtime": "/lib/zone", "/lib": "usr/lib" }, "leads below a mount whose source is a link"],
    [{ "/etc/localtime": "localtime" }, "leads to itself"],
    [{ "/etc/localtime": "/tmp/zone" }, "leads into what is the task's own"],
    [{ "/etc/localtime": "/proc/self/zone" }, "leads into /proc"],
    [{ "/etc/localtime": "/" }, "leads to the root"],
    [{}, "is none"],
  ])("is left alone: %j %s", async (links) => {
    expect(await bindsOf(links)).toEqual([]);
  });

  it("is left alone where a mount of the request holds what it leads to", async () => {
    const mounts = [{ source: "/usr/share", target: "/usr/share", readOnly: true }];
    expect(await bindsOf({ "/etc/localtime": "/usr/share/zoneinfo/UTC" }, { mounts })).toEqual([]);
  });

  it("is left alone where its file is not there", async () => {
    const links = { "/etc/localtime": "/usr/share/zoneinfo/UTC" };
    const specs = await mountSpecs(wanted(), EVERYTHING, host(links, ["/usr/share/zoneinfo/UTC"]));
    expect(specs).toHaveLength(DEFAULT_CHROOT.length);
  });

  it.each([
    { source: "/srv/etc", target: "/etc" },
    { source: "/etc", target: "/host-etc" },
    { source: "/opt", target: "/opt" },
  ])("is left alone where the host's /etc is not the task's: %j", async (entry) => {
    const links = { "/etc/localtime": "/zone", "/srv/etc/localtime": "/zone" };
    const specs = await mountSpecs(wanted({ chroot: [entry] }), EVERYTHING, host(links));
    expect(specs).toHaveLength(1);
  });
});
