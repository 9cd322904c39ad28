import skips from "../skips.json";
import { HOST, PROBES } from "../support/requires.js";

it("each skip names a need with the probe that proves it, real properties of a host, and a reason", () => {
  const probes: Record<string, string> = PROBES;
  for (const { host, need, probe, why } of skips) {
    expect({ need, probe }).toEqual({ need, probe: probes[need] });
    expect(Object.keys(HOST)).toEqual(expect.arrayContaining(Object.keys(host)));
    expect(why).not.toBe("");
  }
});

it("no host may skip the same need twice over", () => {
  const keys = skips.map(({ host, need }) => JSON.stringify([host, need]));
  expect(new Set(keys).size).toBe(keys.length);
});
