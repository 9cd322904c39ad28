import { readFileSync } from "node:fs";
import { join } from "node:path";

import { checkLimits, LIMIT_NAMES, limitFieldName } from "../../../src/tasks/request/limit-rules.js";
import type { Limits } from "../../../src/tasks/limits.js";

describe("limits", () => {
  it.each<Limits>([
    { memoryBytes: 1n },
    { memoryBytes: 2n ** 63n - 1n },
    { memoryReservationBytes: 4096n },
    { memoryBytes: 4096n, memoryReservationBytes: 4096n },
    { cpuShares: 2n },
    { cpuShares: 262_144n },
    { cpuMillis: 1n },
    { cpuMillis: 1_000_000n },
    { ioWeight: 10n },
    { ioWeight: 1000n },
    { pidsMax: 1n },
    { pidsMax: 4_194_304n },
    ...["0", "0-2,4", "0-0", "4,0-2", "8191", "0,0", "1-8191"].map((cpusetCpus) => ({ cpusetCpus })),
  ])("%o are taken as they are", (limits) => {
    expect(checkLimits(limits)).toEqual(limits);
  });

  it.each<readonly [string, Limits]>([
    ["resources.memory_bytes", { memoryBytes: 0n }],
    ["resources.memory_bytes", { memoryBytes: 2n ** 63n }],
    ["resources.memory_bytes", { memoryBytes: 2n ** 64n - 1n }],
    ["resources.memory_reservation_bytes", { memoryReservationBytes: 0n }],
    ["resources.memory_reservation_bytes", { memoryBytes: 1n, memoryReservationBytes: 2n }],
    ["resources.cpu_shares", { cpuShares: 0n }],
    ["resources.cpu_shares", { cpuShares: 1n }],
    ["resources.cpu_shares", { cpuShares: 262_145n }],
    ["resources.cpu_millis", { cpuMillis: 0n }],
    ["resources.cpu_millis", { cpuMillis: 1_000_001n }],
    ["resources.io_weight", { ioWeight: 0n }],
    ["resources.io_weight", { ioWeight: 9n }],
    ["resources.io_weight", { ioWeight: 1001n }],
    ["resources.pids_max", { pidsMax: 0n }],
    ["resources.pids_max", { pidsMax: 4_194_305n }],
    ["resources.pids_max", { cpuShares: 2n, pidsMax: 0n }],
    ...[
      "",
      " 0",
      "0 ",
      "0,",
      ",0",
      "0,,1",
      "2-1",
      "-1",
      "1-",
      "0-1-2",
      "8192",
      "0-8192",
      "01",
      "0x1",
      "a",
      "0\n",
      "0-3:2",
      "all",
      "0,".repeat(3000) + "0",
    ].map((cpusetCpus) => ["resources.cpuset_cpus", { cpusetCpus }] as const),
  ])("are refused for %s: %o", (field, limits) => {
    expect(() => checkLimits(limits)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", field }),
    );
  });

  it("say the range of io_weight and the value", () => {
    expect(() => checkLimits({ ioWeight: 5n })).toThrow("io_weight must be 10 to 1000, and is 5");
  });

  it("must be there", () => {
    expect(() => checkLimits({})).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", reason: "FIELD_MISSING", field: "resources" }),
    );
  });

  it("have the names of the API, all of them", () => {
    const proto = readFileSync(join(__dirname, "../../../proto/executor/v1/executor.proto"), "utf8");
    const message = /^message Resources \{([^}]*)\}/m.exec(proto)?.[1] ?? "";
    const fields = [...message.matchAll(/optional \w+ (\w+) =/g)].map(([, name]) => name);
    expect(LIMIT_NAMES.map(limitFieldName)).toEqual(fields);
  });
});
