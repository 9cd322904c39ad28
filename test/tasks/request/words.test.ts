import { COMMAND_LINE_BYTES_MAX } from "../../../src/tasks/request/exec-limits.js";
import { TaskError } from "../../../src/tasks/errors.js";
import { HelperFault } from "../../../src/tasks/ports.js";
import { collectGarbage } from "../../support/gc";
import { plainWord, replaceWord, splitLine } from "../../../src/tasks/request/words.js";

const ENV = new Map([
  ["A", "one"],
  ["SPACED", "two words"],
  ["QUOTES", `'x' "y" \\z`],
  ["EMPTY", ""],
  ["DOLLAR", "$A"],
  ["NOMAD_PORT_my-db", "5432"],
]);

const CASES: readonly (readonly [string, readonly string[]])[] = [
  // Words and what separates them.
  ["", []],
  ["   ", []],
  [" \t\n ", []],
  ["a", ["a"]],
  ["a b", ["a", "b"]],
  ["  a   b  ", ["a", "b"]],
  ["a\tb\nc", ["a", "b", "c"]],
  ["a\rb", ["a\rb"]],
  ["a\u00a0b", ["a\u00a0b"]],
  ["é 😀", ["é", "😀"]],
  // Single quotes.
  ["'a b'", ["a b"]],
  ["''", [""]],
  ["'' ''", ["", ""]],
  ["a ''", ["a", ""]],
  ["'a''b'", ["ab"]],
  ["a'b'c", ["abc"]],
  ["'\"'", ['"']],
  ["'\\'", ["\\"]],
  ["'a\\b'", ["a\\b"]],
  ["'a\nb'", ["a\nb"]],
  ["'it'\\''s'", ["it's"]],
  // Double quotes.
  ['"a b"', ["a b"]],
  ['""', [""]],
  ['a"b"c', ["abc"]],
  ['"a""b"', ["ab"]],
  ['"a\'b"', ["a'b"]],
  ['"\\""', ['"']],
  ['"\\\\"', ["\\"]],
  ['"\\$A"', ["$A"]],
  ['"\\`"', ["`"]],
  ['"\\a"', ["\\a"]],
  ['"\\\'"', ["\\'"]],
  ['"\\n"', ["\\n"]],
  ['"\\ "', ["\\ "]],
  ['"a\\\nb"', ["ab"]],
  ['"a\nb"', ["a\nb"]],
  ['"\\\\n"', ["\\n"]],
  ['"\\😀"', ["\\😀"]],
  // A backslash outside quotes.
  ["a\\ b", ["a b"]],
  ["\\a", ["a"]],
  ["\\\\", ["\\"]],
  ["\\'", ["'"]],
  ['\\"', ['"']],
  ["\\$A", ["$A"]],
  ["\\${A}", ["${A}"]],
  ["a\\\nb", ["ab"]],
  ["a \\\n b", ["a", "b"]],
  ["\\\n", []],
  ["\\\\\\ ", ["\\ "]],
  ["\\😀x", ["😀x"]],
  // Nothing else means anything.
  ["a | b && c; d > e < f &", ["a", "|", "b", "&&", "c;", "d", ">", "e", "<", "f", "&"]],
  ["* ?.[ch] {a,b} ~", ["*", "?.[ch]", "{a,b}", "~"]],
  ["`id` $(id)", ["`id`", "$(id)"]],
  ["a # b", ["a", "#", "b"]],
  ["#a", ["#a"]],
  ["! a (b)", ["!", "a", "(b)"]],
  ["X=1 a", ["X=1", "a"]],
  // Variables.
  ["$A", ["one"]],
  ["${A}", ["one"]],
  ["x$A/y", ["xone/y"]],
  ['"$A"', ["one"]],
  ["'$A'", ["$A"]],
  ["$SPACED", ["two words"]],
  ["x${SPACED}y z", ["xtwo wordsy", "z"]],
  ['"$SPACED"', ["two words"]],
  ["$QUOTES", [`'x' "y" \\z`]],
  ["$EMPTY", [""]],
  ["a $EMPTY b", ["a", "", "b"]],
  ["$DOLLAR", ["$A"]],
  ["$UNKNOWN ${UNKNOWN}", ["$UNKNOWN", "${UNKNOWN}"]],
  ["${NOMAD_PORT_my-db}", ["5432"]],
  ["$A'B'", ["oneB"]],
  ['$A"B"', ["oneB"]],
  ['"$"A', ["$A"]],
  ["'$'A", ["$A"]],
  ["$'A'", ["$A"]],
  ['$"A"', ["$A"]],
  ['"$A"B', ["oneB"]],
  ["$\\A", ["$A"]],
  ["$A\\B", ["oneB"]],
  ["${A\\}", ["${A}"]],
  ["$\\\nA", ["one"]],
  ['"$\\\nA"', ["one"]],
  ['"\\\\$A"', ["\\one"]],
  ["\\\\$A", ["\\one"]],
  ["'a'$A\"$A\"", ["aoneone"]],
  ["$$A", ["$one"]],
];

const REFUSED: readonly string[] = [
  "'",
  "a 'b",
  "'a\\'b'",
  '"',
  'a "b',
  '"a\\"',
  '"a\\',
  "\\",
  "a\\",
  "a b \\",
  "\\\\\\",
];

function splitWords(line: string, env: ReadonlyMap<string, string>): string[] {
  return splitLine(line).map((word) => replaceWord(word, env));
}

/** The least of several: the machine is not the test's alone. */
function leastCpuMs(work: () => void): number {
  const times = Array.from({ length: 9 }, () => {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

describe("a command line", () => {
  it.each(CASES)("%j is the words %j", (line, words) => {
    expect(splitWords(line, ENV)).toEqual(words);
  });

  it.each(REFUSED)("%j is refused", (line) => {
    expect(() => splitWords(line, ENV)).toThrow(TaskError);
    expect(() => splitWords(line, ENV)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", field: "command_line" }),
    );
  });

  it("is refused, as exec would, once the values in a word are more bytes than the kernel executes", () => {
    const env = new Map([["V", "€".repeat(30_000)]]);
    expect(() => splitWords('"$V"'.repeat(1000), env)).toThrow(HelperFault);
  });

  it("has its words also with nothing replaced", () => {
    expect(splitLine("$A\"$A\"'$A' \\$A").map(plainWord)).toEqual(["$A$A$A", "$A"]);
  });

  it.each(["a\\b", '""', "''", "'$'", '"$A"', "$\\A", "a ", '"\\$"', "${", "${A"])(
    "of as many %j as there may be takes little longer than to look at each of its characters",
    (part) => {
      const line = part.repeat(Math.floor(COMMAND_LINE_BYTES_MAX / part.length));
      const split = (): void => expect(splitWords(line, new Map([["A", ""]])).length).toBeGreaterThan(0);
      // One object for each character, as a word has pieces.
      const look = (): void => expect(Array.from(line, (text) => ({ text })).length).toBe(line.length);
      expect(leastCpuMs(split) / leastCpuMs(look)).toBeLessThan(15);
    },
  );

  it("of any length is split in linear time", () => {
    const line = `"a\\"b" 'c' \\d$A `.repeat(50_000);
    const start = process.cpuUsage();
    expect(splitWords(line, ENV)).toHaveLength(150_000);
    expect(process.cpuUsage(start).user).toBeLessThan(5_000_000);
  });
});

it("takes no more memory than the line, however it is put together", () => {
  const line = `true ${"\\x".repeat(65_000)}`;
  splitLine(line);
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const kept = Array.from({ length: 20 }, () => splitLine(line));
  collectGarbage();
  expect((process.memoryUsage().heapUsed - before) / kept.length).toBeLessThan(4 * line.length);
});
