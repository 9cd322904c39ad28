import { AllocDirs } from "../../src/tasks/alloc-dirs";

const named = (taskName: string) => ({ allocId: "a", taskName, chrootMethod: "bind" as const });

/** With one alloc directory, of these entries if it is there. */
function given(entries: string[] | undefined): { dirs: AllocDirs; removed: string[] } {
  const removed: string[] = [];
  const dirs = new AllocDirs(
    {
      remove: (scope, allocId, taskName) => {
        removed.push(`${scope} ${allocId}/${taskName}`);
        return Promise.resolve();
      },
    },
    { allocEntries: () => Promise.resolve(entries) },
  );
  return { dirs, removed };
}

describe("a new alloc directory", () => {
  it("stays while another is at it, who has made nothing yet, and goes with the last", async () => {
    const { dirs, removed } = given(undefined);
    const [first, second] = [dirs.join(named("1")), dirs.join(named("2"))];
    await Promise.all([first.look(), second.look()]);
    await first.takeAway();
    expect(removed).toEqual(["task a/1"]);
    await second.takeAway();
    expect(removed).toEqual(["task a/1", "alloc a/2"]);
  });

  it("stays once a task has come of it", async () => {
    const { dirs, removed } = given(undefined);
    const [first, second] = [dirs.join(named("1")), dirs.join(named("2"))];
    await Promise.all([first.look(), second.look()]);
    first.keep();
    await second.takeAway();
    expect(removed).toEqual(["task a/2"]);
  });

  it("goes with the last, though that one had not begun to make anything", async () => {
    const { dirs, removed } = given(undefined);
    const [first, second] = [dirs.join(named("1")), dirs.join(named("2"))];
    await first.look();
    await first.takeAway();
    await second.takeAway();
    expect(removed).toEqual(["task a/1", "alloc a/2"]);
  });
});

it("an alloc directory that was there before stays, and so does a task directory", async () => {
  const { dirs, removed } = given(["alloc", "old"]);
  for (const name of ["old", "new"]) {
    const part = dirs.join(named(name));
    await part.look();
    await part.takeAway();
  }
  expect(removed).toEqual(["task a/new"]);
});
