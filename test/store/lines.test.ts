import { Lines } from "../../src/store/lines";

/** Work that ends when the test wants it to, and says when it begins and ends. */
function steps(said: string[]): (name: string) => { work: () => Promise<string>; end: () => void } {
  return (name) => {
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const work = async (): Promise<string> => {
      said.push(`${name} begins`);
      await ended;
      said.push(`${name} ends`);
      return name;
    };
    return { work, end };
  };
}

it("work for one key is done in its order, for another at the same time", async () => {
  const said: string[] = [];
  const step = steps(said);
  const [first, second, other] = [step("first"), step("second"), step("other")];
  const lines = new Lines();
  const done = [lines.run("a", first.work), lines.run("a", second.work), lines.run("b", other.work)];
  expect(said).toEqual(["first begins", "other begins"]);
  second.end();
  other.end();
  await done[2];
  first.end();
  expect(await Promise.all(done)).toEqual(["first", "second", "other"]);
  expect(said).toEqual([
    "first begins",
    "other begins",
    "other ends",
    "first ends",
    "second begins",
    "second ends",
  ]);
});

it("work that fails does not keep the next from being done", async () => {
  const lines = new Lines();
  const failed = lines.run("a", () => Promise.reject(new Error("failed")));
  const next = lines.run("a", () => Promise.resolve("done"));
  await expect(failed).rejects.toThrow("failed");
  expect(await next).toBe("done");
});

it("done waits for all that is under way, and minds no failure", async () => {
  const said: string[] = [];
  const step = steps(said)("work");
  const lines = new Lines();
  await lines.done();
  void lines.run("a", step.work);
  lines.run("b", () => Promise.reject(new Error("failed"))).catch(() => undefined);
  setImmediate(step.end);
  await lines.done();
  expect(said).toEqual(["work begins", "work ends"]);
});
