import { commandArguments } from "../../../src/tasks/request/arguments";
import { HelperFault } from "../../../src/tasks/ports";
import { splitLine } from "../../../src/tasks/request/words";

const env = new Map([
  ["LONG", "x".repeat(100_000)],
  ["EUROS", "€".repeat(30_000)],
]);

describe("a command's arguments", () => {
  it("are its program and its arguments, replaced and never split", () => {
    const command = { kind: "program", program: "sh", args: ["-c", "a $LONG"] } as const;
    expect(commandArguments(command, env)).toEqual(["sh", "-c", `a ${"x".repeat(100_000)}`]);
  });

  it("are the words of a command line", () => {
    const command = { kind: "line", words: splitLine("echo 'a b' c") } as const;
    expect(commandArguments(command, env)).toEqual(["echo", "a b", "c"]);
  });

  it.each([
    ["arguments", { kind: "program", program: "x", args: Array<string>(1_000_000).fill("$LONG") }],
    ["words", { kind: "line", words: splitLine("$LONG ".repeat(600_000)) }],
    ["bytes", { kind: "program", program: "x", args: Array<string>(30).fill("$EUROS") }],
    ["empty words", { kind: "program", program: "x", args: Array<string>(300_000).fill("") }],
    ["one word", { kind: "program", program: "x", args: ["€".repeat(43_691)] }],
  ] as const)("that grow beyond what any kernel executes are refused (%s)", (_name, command) => {
    const before = process.memoryUsage().heapUsed;
    expect(() => commandArguments(command, env)).toThrow(HelperFault);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(1 << 29);
  });
});
