import { resolveSource, type AllowedPath } from "../../../src/tasks/request/policy.js";

const ALLOWED: readonly AllowedPath[] = [
  { path: "/bin", writable: false },
  { path: "/lib64", writable: false },
  { path: "/usr/lib", writable: false },
  { path: "/srv/data", writable: true },
  { path: "/absent", writable: false },
];

/** Links of a host, by whole path; null: not there. */
const LINKS: Readonly<Record<string, string | null>> = {
  "/bin": "/usr/bin",
  "/bin/sh": "/usr/bin/dash",
  "/lib64": "/usr/lib64",
  "/usr/lib/out": "/etc/secret",
  "/srv/data/out": "/usr/lib",
  "/srv/data/in": "/srv/data/other",
  "/absent": null,
  "/absent/x": null,
};

const paths = {
  realpath: (path: string) => Promise.resolve((path in LINKS ? LINKS[path] : path) ?? undefined),
};

function resolve(source: string, writable = false): Promise<string | undefined> {
  return resolveSource({ field: "chroot", source, writable }, ALLOWED, paths);
}

const forbidden = expect.objectContaining({
  code: "PERMISSION_DENIED",
  reason: "PATH_FORBIDDEN",
  field: "chroot",
});

describe("a source", () => {
  it.each([
    ["/usr/lib", "/usr/lib"],
    ["/usr/lib/x/y", "/usr/lib/x/y"],
    ["/bin", "/usr/bin"],
    ["/bin/sh", "/usr/bin/dash"],
    ["/lib64", "/usr/lib64"],
    ["/srv/data/in", "/srv/data/other"],
    ["/srv/data/out", "/usr/lib"],
  ])("%s is allowed, and is %s", async (source, real) => {
    expect(await resolve(source)).toBe(real);
  });

  it.each(["/", "/usr", "/usr/lib64", "/usr/libx", "/etc", "/srv", "/usr/lib/out"])(
    "%s is refused",
    async (source) => {
      await expect(resolve(source)).rejects.toEqual(forbidden);
    },
  );

  it("may be written only where that is allowed of the path and of what it leads to", async () => {
    expect(await resolve("/srv/data/x", true)).toBe("/srv/data/x");
    await expect(resolve("/usr/lib", true)).rejects.toEqual(forbidden);
    await expect(resolve("/srv/data/out", true)).rejects.toEqual(forbidden);
  });

  it("that is allowed and not there is undefined", async () => {
    expect(await resolve("/absent")).toBeUndefined();
    expect(await resolve("/absent/x")).toBeUndefined();
  });

  it("is never named in the refusal", async () => {
    await expect(resolve("/etc/secret")).rejects.toThrow(/^chroot is no path/);
  });
});
