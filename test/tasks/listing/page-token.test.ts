import { pageToken, uuidOfToken } from "../../../src/tasks/listing/page-token";
import { uuid7 } from "../../../src/tasks/uuid";

const FILTER = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const OTHER = `8${FILTER.slice(1)}`;

it("names the task, for the filter that it was made with", () => {
  for (let count = 0; count < 100; count++) {
    const uuid = uuid7();
    expect(uuidOfToken(pageToken(uuid, FILTER), FILTER)).toBe(uuid);
  }
});

it("is for URLs and shells, without quotes", () => {
  expect(pageToken(uuid7(), FILTER)).toMatch(/^[A-Za-z0-9_-]{43}$/);
});

it("is refused with another filter", () => {
  expect(() => uuidOfToken(pageToken(uuid7(), FILTER), OTHER)).toThrow("of a request with other");
});

const TOKEN = pageToken("0198c3d2-0000-7000-8000-00000000000a", FILTER);

it.each([
  ["nonsense", "nonsense"],
  ["one that is cut off", TOKEN.slice(0, -1)],
  ["one with something after it", `${TOKEN}A`],
  ["one with padding", `${TOKEN}=`],
  ["one in base64 as it is not for URLs", `+${TOKEN.slice(1)}`],
  ["one with a line break", `${TOKEN}\n`],
  ["megabytes", "A".repeat(2 ** 22)],
])("is not %s", (_what, token) => {
  expect(() => uuidOfToken(token, FILTER)).toThrow(expect.objectContaining({ field: "page_token" }));
});

it("is not one of which a single character is another", () => {
  for (let at = 22; at < TOKEN.length; at++) {
    const changed = TOKEN.slice(0, at) + (TOKEN[at] === "A" ? "B" : "A") + TOKEN.slice(at + 1);
    expect(() => uuidOfToken(changed, FILTER)).toThrow(expect.objectContaining({ field: "page_token" }));
  }
});
