import { UuidOrder } from "../../../src/tasks/listing/uuid-order";
import { uuid7 } from "../../../src/tasks/uuid";
import { Random } from "../../support/random";

interface Item {
  readonly uuid: string;
}

function uuidOf(random: Random): string {
  return random.between(0, 0xffff_ffff).toString(16).padStart(8, "0");
}

function all(order: UuidOrder<Item>): readonly string[] {
  return order.after(undefined, Infinity).map(({ uuid }) => uuid);
}

it.each([1, 2, 3, 4, 5])("is a sorted list, whatever is added and taken away (seed %d)", (seed) => {
  const random = new Random(seed);
  const order = new UuidOrder<Item>();
  let known: Item[] = [];
  for (let step = 0; step < 6_000; step++) {
    if (known.length > 0 && random.next() < (step < 4_000 ? 0.25 : 0.9)) {
      const gone = random.pick(known);
      known = known.filter((item) => item !== gone);
      order.delete(gone);
    } else {
      const item = { uuid: uuidOf(random) };
      known.push(item);
      order.add(item);
    }
    if (step % 500 !== 0) continue;
    known.sort((one, other) => (one.uuid < other.uuid ? -1 : 1));
    expect(all(order)).toEqual(known.map(({ uuid }) => uuid));
    const from = uuidOf(random);
    const count = random.between(0, 1_500);
    expect(order.after(from, count)).toEqual(known.filter(({ uuid }) => uuid > from).slice(0, count));
  }
});

it("is left alone by what it does not hold", () => {
  const order = new UuidOrder<Item>();
  order.delete({ uuid: "b" });
  order.add({ uuid: "b" });
  order.delete({ uuid: "a" });
  order.delete({ uuid: "c" });
  expect(all(order)).toEqual(["b"]);
  order.delete({ uuid: "b" });
  expect(all(order)).toEqual([]);
});

it("holds as many records as may be kept, and each comes and goes in little time", () => {
  const order = new UuidOrder<Item>();
  const items = Array.from({ length: 200_000 }, (_, index) => ({ uuid: uuid7(index >> 3) }));
  const begun = performance.now();
  for (const item of items) order.add(item);
  for (let index = 0; index < items.length; index += 2) order.delete(items[index] as Item);
  // Of a slow machine: one array would take a hundred times as long.
  expect((performance.now() - begun) / (1.5 * items.length)).toBeLessThan(0.1);
  expect(all(order)).toHaveLength(items.length / 2);
});
