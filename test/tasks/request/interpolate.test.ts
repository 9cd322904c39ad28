import { interpolate } from "../../../src/tasks/request/interpolate.js";
import { HelperFault } from "../../../src/tasks/ports.js";

const ENV = new Map([
  ["A", "one"],
  ["_b2", "two words"],
  ["EMPTY", ""],
  ["DOLLAR", "$A ${A}"],
  ["NOMAD_PORT_http", "8080"],
  ["NOMAD_PORT_my-db.main", "5432"],
  ["with space", "spaced"],
  ["a{b", "brace"],
  ["1x", "digit"],
]);

const CASES: readonly (readonly [string, string])[] = [
  ["", ""],
  ["plain", "plain"],
  ["$A", "one"],
  ["${A}", "one"],
  ["x$A", "xone"],
  ["$A/x", "one/x"],
  ["${A}x", "onex"],
  ["$Ax", "$Ax"],
  ["$A$A", "oneone"],
  ["${A}${A}", "oneone"],
  ["$A${A}$A", "oneoneone"],
  ["$_b2", "two words"],
  ["$A-$_b2", "one-two words"],
  ["$EMPTY", ""],
  ["x${EMPTY}y", "xy"],
  ["$a", "$a"],
  ["$UNKNOWN", "$UNKNOWN"],
  ["${UNKNOWN}", "${UNKNOWN}"],
  ["$UNKNOWN$A", "$UNKNOWNone"],
  ["$DOLLAR", "$A ${A}"],
  ["${DOLLAR}${A}", "$A ${A}one"],
  ["$NOMAD_PORT_http", "8080"],
  ["$NOMAD_PORT_my-db.main", "$NOMAD_PORT_my-db.main"],
  ["${NOMAD_PORT_my-db.main}", "5432"],
  ["${with space}", "spaced"],
  ["${a{b}", "brace"],
  ["$", "$"],
  ["$$", "$$"],
  ["$$A", "$one"],
  ["$$$A", "$$one"],
  ["A$", "A$"],
  ["$ A", "$ A"],
  ["$1", "$1"],
  ["$1x", "$1x"],
  ["${1x}", "digit"],
  ["${2x}", "${2x}"],
  ["${1}", "${1}"],
  ["${", "${"],
  ["${}", "${}"],
  ["${}$A", "${}one"],
  ["${A", "${A"],
  ["${$A", "${one"],
  ["$}", "$}"],
  ["}${A}", "}one"],
  ["${A}}", "one}"],
  ["{$A}", "{one}"],
  ["${ A}", "${ A}"],
  ["${${A}}", "${one}"],
  ["${X${A}}", "${Xone}"],
  ["${${${A}}}", "${${one}}"],
  ["${X$A}", "${Xone}"],
  ["${A:-x}", "${A:-x}"],
  ["$(A)", "$(A)"],
  ["$\n", "$\n"],
  ["$é", "$é"],
  ["$Aé", "oneé"],
  ["😀$A😀", "😀one😀"],
];

describe("interpolation", () => {
  it.each(CASES)("makes of %j %j", (text, result) => {
    expect(interpolate(text, ENV)).toBe(result);
  });

  it("takes linear time where names are opened and never closed", () => {
    const text = "${".repeat(1_000_000);
    const start = process.cpuUsage();
    expect(interpolate(text, ENV)).toBe(text);
    expect(interpolate(`${text}x}`, ENV)).toBe(`${text}x}`);
    expect(process.cpuUsage(start).user).toBeLessThan(5_000_000);
  });

  it("fails as exec would once the values come to more bytes than the kernel executes", () => {
    const text = "$V".repeat(1000);
    for (const value of ["v".repeat(100_000), "€".repeat(33_333)]) {
      expect(() => interpolate(text, new Map([["V", value]]))).toThrow(HelperFault);
    }
    expect(interpolate("$V", new Map([["V", "v".repeat(131_071)]]))).toHaveLength(131_071);
  });
});
