/** The package as its users have it: packed, unpacked, and imported in each way, with what it depends on and nothing else. */
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";

import { isRoot, TestDaemon } from "../support/daemon";
import { Scratch } from "../support/task-files";

const ROOT = resolve(__dirname, "../..");
const run = promisify(execFile);

/** What the SDK needs, and of types what users of Node have. */
const LINKED = ["@grpc/grpc-js", "@bufbuild/protobuf", "@types/node"];

const scratch = new Scratch();
const project = join(scratch.path, "project");
const modules = join(project, "node_modules");
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  const packed = execFileSync(
    "npm",
    ["pack", "--ignore-scripts", "--offline", "--json", "--pack-destination", scratch.path],
    { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
  );
  const [{ filename } = { filename: "" }] = JSON.parse(packed) as { filename: string }[];
  mkdirSync(join(modules, "stockade"), { recursive: true });
  execFileSync("tar", [
    "-xzf",
    join(scratch.path, filename),
    "--strip-components=1",
    "-C",
    join(modules, "stockade"),
  ]);
  for (const name of LINKED) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
  }
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const BODY = `
const client = connect(process.argv[2]);
client
  .run(["sh", "-c", "echo works; exit 3"], { reject: false, allowUnenforced: ${!isRoot()} })
  .then(async (result) => {
    console.log(result.exitCode, result.stdout.trim());
    const error = await client.wait("CGROUP:/no/such").catch((reason) => reason);
    console.log(error instanceof StockadeError, error.code, typeof TaskFailedError, TaskState.TASK_STATE_ENDED);
  })
  .finally(() => client.close());
`;

it.each([
  [
    "import",
    "esm.mjs",
    'import { connect, StockadeError, TaskFailedError, TaskState } from "stockade/client";',
  ],
  [
    "require",
    "cjs.cjs",
    'const { connect, StockadeError, TaskFailedError, TaskState } = require("stockade/client");',
  ],
])("plain Node has it by %s", async (_way, file, statement) => {
  writeFileSync(join(project, file), `${statement}\n${BODY}`);
  const { stdout } = await run("node", [file, daemon.daemon.address], { cwd: project });
  expect(stdout).toMatch(/^3 works\ntrue (NOT_FOUND|INVALID_ARGUMENT) function 4\n$/);
});

it("each way has modules of its own kind, with the same names", async () => {
  const text = `import { createRequire } from "node:module";
import * as esm from "stockade/client";
const require = createRequire(import.meta.url);
const names = Object.keys(require("stockade/client")).filter((name) => name !== "__esModule");
console.log(import.meta.resolve("stockade/client").split("node_modules").at(-1));
console.log(require.resolve("stockade/client").split("node_modules").at(-1));
console.log(Object.keys(esm).sort().join() === names.sort().join(), names.length > 50);`;
  writeFileSync(join(project, "ways.mjs"), text);
  const { stdout } = await run("node", ["ways.mjs"], { cwd: project });
  expect(stdout.split("\n").slice(0, 3)).toEqual([
    "/stockade/dist/esm/client/index.js",
    "/stockade/dist/js/client/index.js",
    "true true",
  ]);
  // An ES module, whatever a bundler makes of a folder's name: it can export by no other means.
  const entry = readFileSync(join(modules, "stockade/dist/esm/client/index.js"), "utf8");
  expect(entry).toMatch(/^export /m);
  expect(entry).not.toMatch(/require\(|exports\./);
});

it("an error of one way is an instance of the other's class, and of no class that is derived from it", async () => {
  const text = `import { createRequire } from "node:module";
import * as esm from "stockade/client";
const cjs = createRequire(import.meta.url)("stockade/client");
for (const [from, to] of [[esm, cjs], [cjs, esm]]) {
  const client = from.connect(process.argv[2]);
  const refused = await client.wait("CGROUP:/no/such").catch((error) => error);
  const failed = await client.run(["false"], { allowUnenforced: ${!isRoot()} }).catch((error) => error);
  class Derived extends to.StockadeError {}
  console.log(
    refused instanceof to.StockadeError, failed instanceof to.TaskFailedError,
    refused instanceof to.TaskFailedError, refused instanceof Derived, null instanceof to.StockadeError,
    from.StockadeError === to.StockadeError,
  );
  client.close();
}`;
  writeFileSync(join(project, "both.mjs"), text);
  const { stdout } = await run("node", ["both.mjs", daemon.daemon.address], { cwd: project });
  expect(stdout).toBe("true true false false false false\n".repeat(2));
});

/** What a strict user writes; the types that it names have to come out right. */
const TYPED = `
import { connect, StockadeError, TaskFailedError, type ErrorReason, type OutputEvent, type TaskResult } from "stockade/client";
import type { Readable } from "node:stream";

export async function use(signal?: AbortSignal): Promise<number | undefined> {
  await using client = connect({ address: "unix:/run/stockade/stockaded.sock" });
  await using task = client.run(["true"], { limits: { memory: "64m", cpus: 0.5 }, timeout: "10s", signal });
  const stdout: Readable = task.stdout;
  stdout.resume();
  const web: ReadableStream<Uint8Array> = task.toWeb("stderr");
  await web.cancel();
  for await (const event of task) show(event);
  for await (const line of task.lines()) line.trim();
  try {
    const result: TaskResult = await task;
    const id: string = await task.id;
    return result.exitCode ?? id.length;
  } catch (error) {
    if (error instanceof TaskFailedError) return error.result.signalNumber;
    if (error instanceof StockadeError) {
      const reason: ErrorReason | (string & {}) | undefined = error.reason;
      const field: string | undefined = error.field;
      throw new Error(reason ?? field, { cause: error });
    }
    throw error;
  }
}

function show(event: OutputEvent): string {
  return event.kind === "chunk" ? event.data.toString() : event.sizeBytes.toString();
}

// @ts-expect-error: no such option
connect("unix:/x").run(["true"], { memory: "64m" });
// @ts-expect-error: a command has at least a program
connect("unix:/x").run([]);
`;

it.each([
  ["node16", "node16", "esm.mts"],
  ["node16", "node16", "cjs.cts"],
  ["esnext", "bundler", "bundled.ts"],
])("module %s, moduleResolution %s: %s type-checks strictly", async (module, moduleResolution, file) => {
  writeFileSync(join(project, file), TYPED);
  const compilerOptions = {
    module,
    moduleResolution,
    target: "es2022",
    lib: ["es2022", "esnext.disposable"],
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: !file.endsWith(".cts"),
    skipLibCheck: false,
    noEmit: true,
  };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [file] }));
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const said = await run(tsc, ["-p", "."], { cwd: project }).catch((error: unknown) => error);
  expect((said as { stdout: string }).stdout).toBe("");
});
