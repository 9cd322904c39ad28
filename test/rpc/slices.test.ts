/** Who of those that have sent much is served next. */
import { Share, Slices, type Sliced } from "../../src/rpc/access/slices";

/** Far more than a turn has for all. */
const BUSY_MS = 0.5;

/** Work of so many slices; resolves when it is done. */
class Work implements Sliced {
  readonly done: Promise<void>;
  left: number;
  private finish: () => void = () => undefined;

  constructor(
    slices: Slices,
    count: number,
    readonly share = new Share(),
  ) {
    this.left = count;
    this.done = new Promise((resolve) => (this.finish = resolve));
    slices.enter(this);
  }

  pass(): boolean {
    for (const end = performance.now() + BUSY_MS; performance.now() < end;);
    if (--this.left === 0) this.finish();
    return this.left > 0;
  }
}

it("who has had little is served before who has had much", async () => {
  const slices = new Slices();
  const flood = new Work(slices, 200);
  while (flood.left > 190) await new Promise((resolve) => setImmediate(resolve));
  const left = flood.left;
  await new Work(slices, 3).done;
  expect(left - flood.left).toBeLessThanOrEqual(2);
  await flood.done;
});

it("between slices the event loop has its turn", async () => {
  const work = new Work(new Slices(), 50);
  let turns = 0;
  let over = false;
  void work.done.then(() => (over = true));
  while (!over) {
    turns++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(turns).toBeGreaterThanOrEqual(49);
});

it("who lets his calls go before their answers, a thousand and more, is served a slice each 5 ms", async () => {
  const slices = new Slices();
  const share = new Share();
  const begin = performance.now();
  await new Work(slices, 10, share).done;
  for (let count = 0; count < 1_100; count++) share.waste();
  const wasted = performance.now();
  const hostile = new Work(slices, 10, share);
  const other = new Work(slices, 10);
  await other.done;
  expect(hostile.left).toBeGreaterThan(0);
  await hostile.done;
  expect(performance.now() - wasted).toBeGreaterThanOrEqual(9 * 5);
  expect(wasted).toBeGreaterThan(begin);
});
