import type { TaskError } from "../../../src/tasks/errors";
import { checkFiles, type InputFile } from "../../../src/tasks/request/input-files";

function file(path: string, mode = 0): InputFile {
  return { path, mode, content: Buffer.from("x") };
}

function errorOf(files: readonly InputFile[]): TaskError {
  try {
    checkFiles(files, "task");
  } catch (error) {
    return error as TaskError;
  }
  throw new Error("nothing was refused");
}

it("takes files below /local and the shared directories, with the modes that they ask for", () => {
  const paths = ["/local/a", "/local/a b\n/é", "/alloc/data/x", "/alloc/logs/x", "/alloc/tmp/deep/er/x"];
  expect(checkFiles([...paths.map((path) => file(path)), file("/local/run", 0o777)], "task")).toEqual([
    ...paths.map((path) => file(path, 0o644)),
    file("/local/run", 0o777),
  ]);
  expect(checkFiles([], "task")).toEqual([]);
  expect(
    checkFiles(
      Array.from({ length: 1024 }, (_, index) => file(`/local/${index}`)),
      "task",
    ),
  ).toHaveLength(1024);
  expect(checkFiles([file(`/local${"/d".repeat(62)}/${"n".repeat(255)}`)], "task")).toHaveLength(1);
});

it.each<[string, string, InputFile]>([
  ["no path", "files[1].path", file("")],
  ["a relative path", "files[1].path", file("local/a")],
  ["a NUL", "files[1].path", file("/local/a\0b")],
  ["a path that leads up", "files[1].path", file("/local/../etc/passwd")],
  ["a dot", "files[1].path", file("/local/./a")],
  ["an empty part", "files[1].path", file("/local//a")],
  ["a directory's path", "files[1].path", file("/local/a/")],
  ["/local itself", "files[1].path", file("/local")],
  ["a shared directory itself", "files[1].path", file("/alloc/data")],
  ["/alloc", "files[1].path", file("/alloc/file")],
  ["a name that only begins like it", "files[1].path", file("/local2/file")],
  ["another directory that a task can write", "files[1].path", file("/tmp/file")],
  ["the host's", "files[1].path", file("/etc/passwd")],
  ["a name that is too long", "files[1].path", file(`/local/${"n".repeat(256)}`)],
  ["a path that is too long", "files[1].path", file(`/local${`/${"d".repeat(250)}`.repeat(17)}`)],
  ["too many parts", "files[1].path", file(`/local${"/d".repeat(64)}`)],
  ["the log's path", "files[1].path", file("/local/task.stderr")],
  ["the helper's own name", "files[1].path", file("/local/deep/.stockade-7.new")],
  ["a path twice", "files[1].path", file("/local/first/file")],
  ["a file below a file", "files[1].path", file("/local/first/file/below")],
  ["a file where a directory is to be", "files[1].path", file("/local/first")],
  ["a setuid bit", "files[1].mode", file("/local/a", 0o4755)],
  ["a setgid bit", "files[1].mode", file("/local/a", 0o2755)],
  ["a sticky bit", "files[1].mode", file("/local/a", 0o1755)],
  ["the mode of a device", "files[1].mode", file("/local/a", 0o20666)],
  ["the largest mode", "files[1].mode", file("/local/a", 0xffff_ffff)],
])("refuses %s", (_, field, second) => {
  const error = errorOf([file("/local/first/file"), second]);
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", field });
});

it("refuses more than a thousand and 24", () => {
  const files = Array.from({ length: 1025 }, (_, index) => file(`/local/${index}`));
  expect(errorOf(files)).toMatchObject({ reason: "FIELD_INVALID", field: "files" });
});

it("takes the log of a task of another name", () => {
  expect(checkFiles([file("/local/other.stdout")], "task")).toHaveLength(1);
});
