import { firstId } from "../../src/host/subordinate-ids";

it.each([
  ["by name", "alice:100000:65536\nbob:165536:65536\n", 165_536],
  ["by number", "1000:200000:1\n", 200_000],
  ["the first of several ranges", "bob:300000:10\nbob:400000:10\n", 300_000],
  ["none for others alone", "alice:100000:65536\n", undefined],
  ["none of an empty range", "bob:100000:0\n", undefined],
  ["none in what is no entry", "bob\n\n# bob:1:1\nbob:x:1\nbob:4294967296:1\nbob:-1:5\n", undefined],
  ["none in nothing", "", undefined],
])("finds a user's first subordinate id: %s", (_, text, id) => {
  expect(firstId(text, "bob", 1000)).toBe(id);
});
