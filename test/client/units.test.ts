/** The units that people use, and what they become. */
import { parseTimeSpan, toDuration, toMs } from "../../src/client/durations";
import { parseByteSize, toResources } from "../../src/client/limits";

it.each([
  ["64m", 67_108_864n],
  ["64M", 67_108_864n],
  ["64MiB", 67_108_864n],
  ["64mb", 67_108_864n],
  ["1.5g", 1_610_612_736n],
  [".5k", 512n],
  ["512", 512n],
  ["512b", 512n],
  ["1t", 1_099_511_627_776n],
  [1_000, 1_000n],
  [1_000n, 1_000n],
] as const)("%s is so many bytes", (size, bytes) => {
  expect(parseByteSize(size, "memory")).toBe(bytes);
});

it.each(["", "m", "64x", "-1", "1e3", "64 m", "1.2.3m", -1, -1n, 0.5, NaN, Infinity, 2 ** 60])(
  "%s is no number of bytes",
  (size) => {
    expect(() => parseByteSize(size, "limits.memory")).toThrow(/^limits\.memory must be bytes/);
  },
);

it.each([
  ["10s", 10_000],
  ["1m30s", 90_000],
  ["1.5m", 90_000],
  ["500ms", 500],
  [".5s", 500],
  ["2h", 7_200_000],
  ["1d", 86_400_000],
  [250, 250],
] as const)("%s is so many milliseconds", (span, ms) => {
  expect(parseTimeSpan(span, "timeout")).toBe(ms);
});

it.each(["", "10", "s", "10x", "-1s", "1s 2s", "1ss", -1, NaN, Infinity])("%s is no span of time", (span) => {
  expect(() => parseTimeSpan(span, "timeout")).toThrow(/^timeout must be/);
});

it("a number of milliseconds is none in a string", () => {
  expect(() => parseTimeSpan("10", "timeout")).toThrow(
    'timeout must be a number with ms, s, m, h or d, as 1m30s: "10"',
  );
  expect(() => parseTimeSpan(-1, "timeout")).toThrow(/^timeout must be milliseconds, or /);
});

it("a duration of a message is as long as what it was made of", () => {
  for (const ms of [0, 0.5, 999.999, 1_000, 90_061.25]) expect(toMs(toDuration(ms))).toBeCloseTo(ms, 5);
  expect(toDuration(1_500)).toEqual({ seconds: 1n, nanos: 500_000_000 });
});

it("limits become resources, and what is left out stays out", () => {
  expect(toResources({ memory: "64m", cpus: 0.5, pids: 20 })).toEqual({
    memoryBytes: 67_108_864n,
    memoryReservationBytes: undefined,
    cpuMillis: 500n,
    cpuShares: undefined,
    cpusetCpus: undefined,
    ioWeight: undefined,
    pidsMax: 20n,
  });
  expect(toResources({ cpus: 0.1 + 0.2 }).cpuMillis).toBe(300n);
});

it.each([
  [{ cpus: 0.0005 }, "limits.cpus"],
  [{ cpus: -1 }, "limits.cpus"],
  [{ pids: 1.5 }, "limits.pids"],
  [{ ioWeight: NaN }, "limits.ioWeight"],
  [{ memory: "lots" }, "limits.memory"],
])("%j is refused, and the field named", (limits, field) => {
  expect(() => toResources(limits)).toThrow(new RegExp(`^${field.replace(".", "\\.")} `));
});
