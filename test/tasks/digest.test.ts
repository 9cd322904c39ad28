import { createHash } from "node:crypto";

import { digestOf } from "../../src/tasks/digest";
import { Random } from "../support/random";

const REQUEST = {
  command: "/bin/sh",
  args: ["-c", "true"],
  env: new Map([
    ["A", "1"],
    ["B", "2"],
  ]),
  limit: 0,
  size: 5n,
  data: Buffer.from("abc"),
};

it("is the same in every version, since it is on record: of this text, as UTF-16", async () => {
  const text =
    "(6:s4:args[2:s2:-cs4:trues7:commands7:/bin/shs4:datab3:abc" +
    "s3:env{2:s1:As1:1s1:Bs1:2s5:limitnumber:0;s4:sizebigint:5;";
  expect(await digestOf(REQUEST)).toBe(createHash("sha256").update(text, "utf16le").digest("hex"));
});

it.each<readonly [string, unknown]>([
  ["a map in another order", { ...REQUEST, env: new Map([...REQUEST.env].reverse()) }],
  ["fields in another order", Object.fromEntries(Object.entries(REQUEST).reverse())],
  ["a field that is undefined", { ...REQUEST, later: undefined }],
  ["one that is empty", { ...REQUEST, later: "" }],
  ["one that is false", { ...REQUEST, later: false }],
  ["empty collections", { ...REQUEST, list: [], map: new Map(), bytes: new Uint8Array() }],
  ["bytes that are not a Buffer", { ...REQUEST, data: new Uint8Array([97, 98, 99]) }],
])("is the same with %s", async (_what, value) => {
  expect(await digestOf(value)).toBe(await digestOf(REQUEST));
});

it.each<readonly [string, unknown, unknown]>([
  ["strings that are joined", ["ab", "c"], ["a", "bc"]],
  ["a list and its item", ["a"], "a"],
  ["a list of lists", [["a"], ["b"]], [["a", "b"]]],
  ["a number and its digits", { a: 1 }, { a: "1" }],
  ["numbers of two kinds", { a: 1 }, { a: 1n }],
  ["a number that is 0 and one that is not there", { a: 0 }, {}],
  ["an empty item and none", [""], []],
  ["key and value", new Map([["a", "b"]]), new Map([["b", "a"]])],
  ["a map and an object", new Map([["a", "b"]]), { a: "b" }],
  ["bytes and text", Buffer.from("s"), "s"],
  ["what looks like the form", "s1:a", "a"],
  ["halves of characters, at the end of a piece", `${"x".repeat(32_767)}😀`, `${"x".repeat(32_767)}😁`],
])("differs for %s", async (_what, one, other) => {
  expect(await digestOf(one)).not.toBe(await digestOf(other));
});

it("of large maps in any order is the same, and takes several turns of the event loop", async () => {
  const random = new Random(3);
  const entries = Array.from({ length: 32_768 }, (_, index) => [`K${index}`, "x"] as const);
  const shuffled = entries
    .map((entry) => [random.next(), entry] as const)
    .sort(([one], [other]) => one - other)
    .map(([, entry]) => entry);
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const digest = await digestOf({ env: new Map(shuffled), text: "y".repeat(4 * 2 ** 20) });
  clearInterval(timer);
  expect(turns).toBeGreaterThan(5);
  expect(digest).toBe(await digestOf({ text: "y".repeat(4 * 2 ** 20), env: new Map(entries) }));
});
