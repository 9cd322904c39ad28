import { isWithin, parseCpuList } from "../../../src/host/cgroup/cpu-list.js";
import {
  divideCpuTime,
  parseCount,
  parseCpuStat,
  parseIoStat,
  parseKeyed,
  parseServiceBytesRead,
  parseStackedMajors,
} from "../../../src/host/cgroup/usage.js";
import { parseCpuMax } from "../../../src/host/cgroup/v2.js";

it("cpu.stat gives both times, or none", () => {
  expect(parseCpuStat("usage_usec 30\nuser_usec 10\nsystem_usec 20\n")).toEqual({
    cpuUserUs: 10n,
    cpuSystemUs: 20n,
  });
  expect(parseCpuStat("")).toEqual({});
});

it("a keyed file is matched by the whole key", () => {
  expect(parseKeyed("oom 3\noom_kill 2\noom_group_kill 1\n", "oom_kill")).toBe(2n);
  expect(parseKeyed("oom_kill_disable 1\n", "oom_kill")).toBeUndefined();
});

it("what is no number counts as absent", () => {
  expect(parseCount("max\n")).toBeUndefined();
  expect(parseCount("-1\n")).toBeUndefined();
  expect(parseCount("")).toBeUndefined();
  expect(parseCount("18446744073709551615\n")).toBe(18446744073709551615n);
});

describe("the bytes of disks", () => {
  const stacked = parseStackedMajors(
    "Character devices:\n  1 mem\n253 loop\n\nBlock devices:\n  7 loop\n  8 sd\n252 device-mapper\n254 virtblk\n",
  );

  it("knows what stands on other disks", () => {
    expect(stacked).toEqual(new Set(["7", "252"]));
  });

  it("are added up over disks", () => {
    const text =
      "8:0 rbytes=10 wbytes=1 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=20 wbytes=2 rios=1 wios=1\n8:32 \n";
    expect(parseIoStat(text, stacked)).toEqual({ readBytes: 30n, writeBytes: 3n });
  });

  it("are not counted again on what stands on a disk", () => {
    expect(
      parseIoStat("252:0 rbytes=10 wbytes=5\n252:1 rbytes=10 wbytes=5\n8:0 rbytes=10 wbytes=0\n", stacked),
    ).toEqual({
      readBytes: 10n,
      writeBytes: 5n,
    });
  });

  it("are none in an empty file", () => {
    expect(parseIoStat("", stacked)).toEqual({ readBytes: 0n, writeBytes: 0n });
  });

  it("v1's are those read", () => {
    expect(
      parseServiceBytesRead("254:0 Read 4096\n254:0 Write 8192\n254:0 Total 12288\nTotal 12288\n", stacked),
    ).toBe(4096n);
  });
});

it("v1's exact time is divided as its samples are", () => {
  expect(divideCpuTime(3_000_000n, 10n, 20n)).toEqual({ userUs: 1000n, systemUs: 2000n });
  expect(divideCpuTime(3_000_000n, 0n, 0n)).toEqual({ userUs: 3000n, systemUs: 0n });
});

it.each([
  ["max 100000\n", undefined],
  ["50000 100000\n", 500n],
  ["1000 1000000\n", 1n],
  ["", undefined],
])("cpu.max %j is %s thousandths", (text, millis) => {
  expect(parseCpuMax(text)).toBe(millis);
});

describe("a list of CPUs", () => {
  it.each(["a", "1-", "3-1", "-1", "0,,1", "0-99999", "1:2", " "])("%j is malformed or empty", (list) => {
    expect(isWithin(list, "0-3")).toBe(false);
  });

  it("is read with its ranges", () => {
    expect(parseCpuList("0-2,4\n")).toEqual(new Set([0, 1, 2, 4]));
  });

  it("must be of CPUs that are there", () => {
    expect(isWithin("0,3", "0-3")).toBe(true);
    expect(isWithin("0,4", "0-3")).toBe(false);
  });
});
