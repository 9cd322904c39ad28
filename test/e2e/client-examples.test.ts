/** The examples of docs/client.md and README.md: each compiles, and does what its comments say, against a real daemon. */
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { TestDaemon } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";
import { RemoteDaemon } from "../support/remote-daemon";
import { itRequires } from "../support/requires";
import { Scratch } from "../support/task-files";

const run = promisify(execFile);
const ROOT = resolve(__dirname, "../..");

interface Example {
  readonly name: string;
  /** "remote": its daemon is another machine's, known by certificates. */
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

it("there are examples, and each is run by one of these tests", () => {
  expect(examples.length).toBeGreaterThan(6);
  expect([...new Set(examples.map(({ mode }) => mode))].sort()).toEqual(["", "remote"]);
});

itRequires(["root", "cgroups"], "they print what their comments say", async () => {
  await using daemon = await TestDaemon.start();
  const replaced = { "unix:/run/stockade/stockaded.sock": daemon.daemon.address };
  for (const example of examples.filter(({ mode }) => mode === "")) await expectToPrint(example, replaced);
  await expectNothingLeft(daemon);
});

itRequires(
  ["root", "cgroups"],
  "those of another machine's daemon do, too, by its certificates",
  async () => {
    const access = [{ name: "ci", role: "run", certificate_name: "ci.test" }];
    await using daemon = await RemoteDaemon.start({ access, san: "IP:127.0.0.1" });
    const { cert, key } = await daemon.authority.issue("ci.test", { san: "DNS:ci.test" });
    const files = { "ca.pem": daemon.authority.ca, "client.pem": cert, "client-key.pem": key };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(scratch.path, name), content);
    const replaced = { "tasks.example.com:7443": daemon.address };
    for (const example of examples.filter(({ mode }) => mode === "remote"))
      await expectToPrint(example, replaced);
    await expectNothingLeft(daemon.test);
  },
);

/** Runs it beside the files that it names, with other words for some of its own. */
async function expectToPrint(
  { name, code }: Example,
  replaced: Readonly<Record<string, string>>,
): Promise<void> {
  const file = join(scratch.path, `${name}.js`);
  let text = readFileSync(file, "utf8");
  for (const [from, to] of Object.entries(replaced)) text = text.replaceAll(from, to);
  writeFileSync(file, text);
  const { stdout, stderr } = await run("node", [file], { cwd: scratch.path });
  expect(stderr).toBe("");
  for (const words of shownBy(code)) expect(stdout).toContain(words);
}

/** What the comments beside its calls of console.log say that they print, up to "…". */
function shownBy(code: string): string[] {
  return [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, words = ""]) =>
    words.replace(/ …$/, ""),
  );
}
