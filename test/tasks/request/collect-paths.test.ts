import type { TaskError } from "../../../src/tasks/errors";
import { checkCollect, COLLECT_BYTES_MAX, type CollectPath } from "../../../src/tasks/request/collect-paths";

function path(of: string, maxBytes = 1n): CollectPath {
  return { path: of, maxBytes };
}

function errorOf(paths: readonly CollectPath[]): TaskError {
  try {
    checkCollect(paths);
  } catch (error) {
    return error as TaskError;
  }
  throw new Error("nothing was refused");
}

it("takes paths below /local and /alloc, the same one twice too", () => {
  const paths = [path("/local/out"), path("/alloc/data/deep/out"), path("/local/out", COLLECT_BYTES_MAX)];
  expect(checkCollect(paths)).toEqual(paths);
});

it.each<[string, string, string, CollectPath]>([
  ["no path", "FIELD_MISSING", "collect[1].path", path("")],
  ["a relative path", "FIELD_INVALID", "collect[1].path", path("local/out")],
  ["a path that leads up", "FIELD_INVALID", "collect[1].path", path("/local/a/../out")],
  ["/local itself", "FIELD_INVALID", "collect[1].path", path("/local")],
  ["/alloc itself", "FIELD_INVALID", "collect[1].path", path("/alloc")],
  ["what is gone with the task", "FIELD_INVALID", "collect[1].path", path("/tmp/out")],
  ["the host's", "FIELD_INVALID", "collect[1].path", path("/etc/shadow")],
  ["no cap", "FIELD_MISSING", "collect[1].max_bytes", path("/local/out", 0n)],
  ["too large a cap", "FIELD_INVALID", "collect[1].max_bytes", path("/local/out", COLLECT_BYTES_MAX + 1n)],
])("refuses %s", (_, reason, field, second) => {
  expect(errorOf([path("/local/first"), second])).toMatchObject({ reason, field });
});

it("refuses more than a thousand and 24", () => {
  expect(errorOf(Array.from({ length: 1025 }, () => path("/local/out")))).toMatchObject({ field: "collect" });
});
