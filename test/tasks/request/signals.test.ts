import { parseGracePeriod, parseSignal } from "../../../src/tasks/request/signals.js";

describe("a signal", () => {
  it.each([
    ["", 15],
    ["SIGTERM", 15],
    ["TERM", 15],
    ["term", 15],
    ["sigint", 2],
    ["2", 2],
    ["9", 9],
    ["64", 64],
    ["SIGCHLD", 17],
    ["SIGRTMIN", 34],
    ["RTMIN+1", 35],
    ["RTMIN+30", 64],
    ["SIGRTMAX", 64],
    ["SIGRTMAX-30", 34],
  ])("%j is %d", (text, number) => {
    expect(parseSignal(text)).toBe(number);
  });

  it.each([
    ..."0 65 00 09 -1 +2 0x2 2.0 1e1 99 100 SIG SIGSIGINT SIGNOPE RTMIN-1 RTMIN+31 RTMAX+1 RTMAX-31 RTMIN+".split(
      " ",
    ),
    " 2",
    "INT ",
    "SIG2",
    "__proto__",
    "constructor",
  ])("%j is refused", (text) => {
    expect(() => parseSignal(text)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", field: "signal" }),
    );
  });
});

describe("a grace period", () => {
  it.each([
    [undefined, 10_000],
    [{ seconds: 0n, nanos: 0 }, 0],
    [{ seconds: 0n, nanos: 1 }, 1],
    [{ seconds: 0n, nanos: 1_000_001 }, 2],
    [{ seconds: 1n, nanos: 500_000_000 }, 1500],
    [{ seconds: 86_400n, nanos: 0 }, 86_400_000],
  ])("of %o is %d ms", (duration, ms) => {
    expect(parseGracePeriod(duration)).toBe(ms);
  });

  it.each([
    { seconds: -1n, nanos: 0 },
    { seconds: 0n, nanos: -1 },
    { seconds: 1n, nanos: -1 },
    { seconds: -1n, nanos: 500_000_000 },
    { seconds: 0n, nanos: 1_000_000_000 },
    { seconds: 0n, nanos: 0.5 },
    { seconds: 86_400n, nanos: 1 },
    { seconds: 86_401n, nanos: 0 },
    { seconds: 2n ** 63n - 1n, nanos: 999_999_999 },
  ])("of %o is refused", (duration) => {
    expect(() => parseGracePeriod(duration)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", field: "grace_period" }),
    );
  });
});
