import {
  chooseMounts,
  parseMountinfo,
  parseProcCgroup,
  parseWords,
  shownPath,
} from "../../../src/host/cgroup/detect.js";

const V2 = "25 20 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
const V1 = [
  "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
  "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct",
  "33 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
  "34 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd",
  "",
].join("\n");
const NONE = new Set<string>();

describe("the mode of a host", () => {
  it("is v2 where only v2 is mounted", () => {
    expect(chooseMounts(parseMountinfo(V2), parseWords("cpuset cpu io memory pids\n"))).toEqual({
      mode: "v2",
      v2: { dir: "/sys/fs/cgroup", root: "/" },
      v1: new Map(),
    });
  });

  it("is v2 without any controller where that is all there is", () => {
    expect(chooseMounts(parseMountinfo(V2), NONE)?.mode).toBe("v2");
  });

  it("is v2 where v1 has only what v2 has left", () => {
    expect(
      chooseMounts(parseMountinfo(V2 + V1.replace("rw,memory", "rw,devices")), parseWords("memory pids"))
        ?.mode,
    ).toBe("v2");
  });

  it("is hybrid where an empty v2 tree stands beside v1, and controllers mounted together share a hierarchy", () => {
    const mounts = chooseMounts(parseMountinfo(V1 + UNIFIED), NONE);
    expect(mounts?.mode).toBe("hybrid");
    expect(mounts?.v2?.dir).toBe("/sys/fs/cgroup/unified");
    expect([...(mounts?.v1.keys() ?? [])]).toEqual(["memory", "cpu", "cpuacct"]);
    expect(mounts?.v1.get("cpu")).toBe(mounts?.v1.get("cpuacct"));
  });

  it("is v1 without v2", () => {
    expect(chooseMounts(parseMountinfo(V1), NONE)).toMatchObject({ mode: "v1", v2: undefined });
  });

  it("is none without a mount", () => {
    expect(
      chooseMounts(parseMountinfo("22 27 0:21 / /proc rw - proc proc rw\nnonsense\n"), NONE),
    ).toBeUndefined();
  });

  it("prefers the usual mount point to one mounted earlier", () => {
    const elsewhere = V2.replace("/sys/fs/cgroup", "/var/lib/box/cgroup");
    expect(chooseMounts(parseMountinfo(elsewhere + V2), NONE)?.v2?.dir).toBe("/sys/fs/cgroup");
  });
});

it("mountinfo's escapes are undone", () => {
  expect(parseMountinfo("1 2 0:3 / /a\\040b\\134 rw - cgroup2 none rw")[0]?.dir).toBe("/a b\\");
});

it("/proc/<pid>/cgroup is read by hierarchy, colons in paths too", () => {
  expect(parseProcCgroup("9:name=systemd:/\n4:cpu,cpuacct:/a:b\n0::/c\n")).toEqual(
    new Map([
      ["name=systemd", "/"],
      ["cpu,cpuacct", "/a:b"],
      ["", "/c"],
    ]),
  );
});

it("a path below a mount of a part is shown with that part before it", () => {
  expect(shownPath({ dir: "/x", root: "/" }, "/a")).toBe("/a");
  expect(shownPath({ dir: "/x", root: "/docker/1" }, "/a")).toBe("/docker/1/a");
});
