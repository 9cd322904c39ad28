import { millisToQuota, quotaToMillis } from "../../../src/host/cgroup/cpu-quota.js";
import {
  parseDefaultWeight,
  reportedShares,
  sharesToWeight,
  weightToShares,
} from "../../../src/host/cgroup/weight.js";

describe("shares as v2's weight", () => {
  it.each([
    [2n, 1n],
    [1024n, 100n],
    [262144n, 10000n],
    [1n, 1n],
    [300000n, 10000n],
    // 10 to the 0.42, 1.23 and 2.24, rounded up.
    [8n, 3n],
    [102n, 17n],
    [2048n, 174n],
  ])("are %d shares → weight %d", (shares, weight) => {
    expect(sharesToWeight(shares)).toBe(weight);
  });

  it("never fall as shares rise, and stay within 1 to 10000", () => {
    let last = 0n;
    for (let shares = 2n; shares <= 262144n; shares++) {
      const weight = sharesToWeight(shares);
      if (weight < last || weight < 1n || weight > 10000n)
        throw new Error(`${shares} shares → weight ${weight}`);
      last = weight;
    }
  });

  it("come back as shares of the same weight, or of the one beside it", () => {
    for (let weight = 1n; weight <= 10000n; weight++) {
      const again = sharesToWeight(weightToShares(weight));
      if (again < weight - 1n || again > weight + 1n)
        throw new Error(`weight ${weight} came back as ${again}`);
    }
  });

  it("are reported as they were set while the kernel holds their weight", () => {
    expect(reportedShares(sharesToWeight(1000n), 1000n)).toBe(1000n);
    expect(reportedShares(100n, 2n)).toBe(1024n);
    expect(reportedShares(100n, undefined)).toBe(1024n);
  });
});

describe("weight files", () => {
  it.each([
    ["100\n", 100n],
    ["default 100\n8:16 200\n", 100n],
    ["", undefined],
  ])("%j hold %s", (text, weight) => {
    expect(parseDefaultWeight(text)).toBe(weight);
  });
});

describe("cpu_millis as quota and period", () => {
  it.each([1n, 2n, 9n, 10n, 11n, 500n, 1000n, 64000n])(
    "%d: a quota of at least 1 ms, and the same back",
    (millis) => {
      const quota = millisToQuota(millis);
      expect(quota.quotaUs).toBeGreaterThanOrEqual(1000n);
      expect(quota.periodUs).toBeLessThanOrEqual(1_000_000n);
      expect(quotaToMillis(quota)).toBe(millis);
    },
  );
});
