/** The examples of docs/client.md and README.md: each compiles, and does what its comments say, against a real daemon. */
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { TestDaemon } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { Scratch } from "../support/task-files";

const run = promisify(execFile);
const ROOT = resolve(__dirname, "../..");

interface Example {
  readonly name: string;
  /** "check": it is compiled, and needs more than one host to run. */
  readonly mode: string;
  readonly code: string;
}

const examples: Example[] = ["docs/client.md", "README.md"]
  .flatMap((path) => [...readFileSync(join(ROOT, path), "utf8").matchAll(/^```ts([^\n]*)\n(.*?)^```$/gms)])
  .map(([, mode = "", code = ""], at) => ({ name: `example-${at}`, mode: mode.trim(), code }));

const scratch = new Scratch();

beforeAll(async () => {
  mkdirSync(join(scratch.path, "node_modules"));
  symlinkSync(ROOT, join(scratch.path, "node_modules/stockade"));
  writeFileSync(join(scratch.path, "package.json"), '{ "type": "module" }');
  const compilerOptions = {
    module: "node20",
    target: "es2022",
    lib: ["es2023", "esnext.disposable"],
    types: ["node"],
    typeRoots: [join(ROOT, "node_modules/@types")],
    strict: true,
    skipLibCheck: true,
  };
  writeFileSync(join(scratch.path, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  for (const { name, code } of examples) writeFileSync(join(scratch.path, `${name}.ts`), code);
  const compiled = await run(join(ROOT, "node_modules/.bin/tsc"), ["-p", scratch.path]).catch(
    (error: unknown) => error,
  );
  expect((compiled as { stdout: string }).stdout).toBe("");
});

afterAll(() => scratch[Symbol.dispose]());

it("there are examples", () => {
  expect(examples.length).toBeGreaterThan(6);
});

itRequires(["root", "cgroups"], "they print what their comments say", async () => {
  await using daemon = await TestDaemon.start();
  for (const { name, mode, code } of examples) {
    if (mode === "check") continue;
    const file = join(scratch.path, `${name}.js`);
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replaceAll("unix:/run/stockade/stockaded.sock", daemon.daemon.address));
    const { stdout, stderr } = await run("node", [file], { cwd: scratch.path });
    expect(stderr).toBe("");
    for (const words of shownBy(code)) expect(stdout).toContain(words);
  }
  await expectNothingLeft(daemon);
});

/** What the comments beside its calls of console.log say that they print, up to "…". */
function shownBy(code: string): string[] {
  return [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, words = ""]) =>
    words.replace(/ …$/, ""),
  );
}
