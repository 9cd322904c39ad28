import { checkPath, checkTarget, isWithin } from "../../../src/tasks/request/task-path.js";

const invalid = expect.objectContaining({ code: "INVALID_ARGUMENT", field: "x" });

describe("a path", () => {
  it.each(["/", "/a", "/a/b", "/...", "/a/..b", "/ ", "/a".repeat(2047), `/${"a".repeat(255)}`])(
    "%j is taken",
    (path) => {
      expect(() => checkPath("x", path)).not.toThrow();
    },
  );

  it.each([
    "",
    "a",
    "a/b",
    ".",
    "..",
    "//",
    "/a//b",
    "/a/",
    "/.",
    "/a/.",
    "/..",
    "/a/../b",
    "/a\0b",
    "/é".repeat(1366),
    `/a/${"é".repeat(128)}/b`,
  ])("%j is refused", (path) => {
    expect(() => checkPath("x", path)).toThrow(invalid);
  });
});

describe("a target", () => {
  it.each(["/a", "/etc/x", "/process", "/locale", "/tmpx/y", "/a/proc"])("%j is taken", (path) => {
    expect(() => checkTarget("x", path)).not.toThrow();
  });

  it.each([
    "/",
    "/proc",
    "/proc/sys",
    "/dev",
    "/dev/shm",
    "/tmp",
    "/tmp/a",
    "/alloc",
    "/alloc/data",
    "/local",
    "/local/a",
    "a",
  ])("%j is refused", (path) => {
    expect(() => checkTarget("x", path)).toThrow(invalid);
  });
});

it.each([
  ["/a", "/a", true],
  ["/a/b", "/a", true],
  ["/ab", "/a", false],
  ["/a", "/a/b", false],
  ["/a", "/", true],
  ["/", "/", true],
])("%s lies within %s: %s", (path, directory, within) => {
  expect(isWithin(path, directory)).toBe(within);
});
