import { clip } from "../../src/tasks/clip.js";

const HALF = "\ud83d";

it.each([
  ["", 10, ""],
  ["as it is", 8, "as it is"],
  ["too long", 7, "too …"],
  ["€€€", 9, "€€€"],
  ["€€€€", 9, "€€…"],
  ["a😀", 5, "a😀"],
  ["aa😀😀", 9, "aa😀…"],
  ["aaa😀😀", 9, "aaa…"],
  [`a${HALF}b`, 10, "a\ufffdb"],
  [`${HALF}${HALF}${HALF}`, 8, "\ufffd…"],
])("%j in %d bytes is %j", (text, bytes, result) => {
  expect(clip(text, bytes)).toBe(result);
});

it("takes no longer for a long text", () => {
  const text = "😀".repeat(5_000_000);
  const start = process.cpuUsage();
  for (let i = 0; i < 1000; i++) clip(text, 256);
  expect(process.cpuUsage(start).user).toBeLessThan(2_000_000);
});
