import { parseTimeLimit } from "../../../src/tasks/request/time-limits.js";

describe("a time limit", () => {
  it.each([
    [undefined, undefined],
    [{ seconds: 0n, nanos: 1 }, 1n],
    [{ seconds: 1n, nanos: 500_000_000 }, 1_500_000_000n],
    [{ seconds: 365n * 86_400n, nanos: 0 }, 31_536_000_000_000_000n],
  ])("of %o is %s ns", (duration, ns) => {
    expect(parseTimeLimit("timeout", duration)).toBe(ns);
  });

  it.each([
    { seconds: 0n, nanos: 0 },
    { seconds: -1n, nanos: 0 },
    { seconds: 0n, nanos: -1 },
    { seconds: 1n, nanos: -1 },
    { seconds: -1n, nanos: 1 },
    { seconds: 1n, nanos: 1_000_000_000 },
    { seconds: 1n, nanos: 0.5 },
    { seconds: 1n, nanos: NaN },
    { seconds: 365n * 86_400n, nanos: 1 },
    { seconds: 2n ** 63n - 1n, nanos: 999_999_999 },
    { seconds: -(2n ** 63n), nanos: 0 },
  ])("of %o is refused", (duration) => {
    for (const field of ["timeout", "cpu_time_limit"]) {
      expect(() => parseTimeLimit(field, duration)).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", field }),
      );
    }
  });
});
