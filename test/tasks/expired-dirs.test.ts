import { ExpiredDirs } from "../../src/tasks/expired-dirs";

const named = (allocId: string, taskName: string) => ({ allocId, taskName });

/** `failures`: how many removals fail before one does not. */
function given(failures = 0): { dirs: ExpiredDirs; removed: string[]; errors: unknown[] } {
  const removed: string[] = [];
  const errors: unknown[] = [];
  const dirs = new ExpiredDirs({
    remove: (scope, { allocId, taskName }) => {
      if (failures-- > 0) return Promise.reject(new Error("busy"));
      removed.push(scope === "alloc" ? allocId : `${allocId}/${taskName}`);
      return Promise.resolve();
    },
    report: (error) => errors.push(error),
    stopping: new AbortController().signal,
  });
  return { dirs, removed, errors };
}

it("a directory goes with the last record of its name, the alloc's with the last of its tasks", async () => {
  const { dirs, removed } = given();
  for (const name of ["1", "1", "2"]) dirs.hold(named("a", name));
  await dirs.expire(named("a", "1"));
  expect(removed).toEqual([]);
  await dirs.expire(named("a", "1"));
  expect(removed).toEqual(["a/1"]);
  await dirs.expire(named("a", "2"));
  expect(removed).toEqual(["a/1", "a"]);
});

it("what has never been a task's is left by a Configure that fails", async () => {
  const { dirs, removed } = given();
  dirs.hold(named("a", "1"));
  await dirs.release(named("a", "1"));
  expect(removed).toEqual([]);
});

it("a Configure that fails removes what has expired while it held it", async () => {
  const { dirs, removed } = given();
  dirs.hold(named("a", "1"));
  dirs.hold(named("a", "1"));
  await dirs.expire(named("a", "1"));
  await dirs.release(named("a", "1"));
  expect(removed).toEqual(["a"]);
});

it("an alloc directory that the last to go has not made goes all the same", async () => {
  const { dirs, removed } = given();
  dirs.hold(named("a", "1"));
  dirs.hold(named("a", "2"));
  await dirs.expire(named("a", "1"));
  await dirs.release(named("a", "2"));
  expect(removed).toEqual(["a/1", "a"]);
});

it("what cannot be removed is tried again, unless another has come to use it", async () => {
  const { dirs, removed, errors } = given(2);
  dirs.hold(named("a", "1"));
  dirs.hold(named("b", "1"));
  const expiries = [dirs.expire(named("a", "1")), dirs.expire(named("b", "1"))];
  dirs.hold(named("b", "1"));
  await Promise.all(expiries);
  expect(errors).toHaveLength(2);
  expect(removed).toEqual(["a"]);
  await dirs.release(named("b", "1"));
  expect(removed).toEqual(["a", "b"]);
});
