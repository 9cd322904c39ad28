/** What `.ci/preflight` says on machines that lack something. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(__dirname, "../..");
const PREFLIGHT = join(ROOT, ".ci/preflight");

/** What the preflight, make and the compiler run, and what these tests take away. */
const NEEDED = ["sh", "cat", "mktemp", "rm", "node", "npm", "make", "find", "gcc", "as", "ld"];

/** Those by name; the first in PATH, as a shell has it. */
const programs = new Map(NEEDED.map((name) => [name, whereIs(name)]));

let scratch: string;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "stockade-preflight-"));
});

afterAll(() => rmSync(scratch, { recursive: true }));

function whereIs(name: string): string {
  const paths = (process.env["PATH"] ?? "").split(":").map((directory) => join(directory, name));
  return paths.find((path) => existsSync(path)) ?? "";
}

interface Machine {
  /** What it has not. */
  readonly lacks?: string;
  /** Scripts that are there in a program's place; `real` is how they call that. */
  readonly fakes?: Readonly<Record<string, (real: string) => string>>;
}

interface Said {
  readonly status: number | null;
  readonly lines: string[];
}

/** The environment on such a machine: its programs alone are in PATH. */
function machine({ lacks, fakes = {} }: Machine): { readonly PATH: string; readonly TMPDIR: string } {
  const path = mkdtempSync(join(scratch, "bin-"));
  const temporary = mkdtempSync(join(scratch, "tmp-"));
  for (const [name, real] of programs) {
    const fake = fakes[name];
    if (fake !== undefined) {
      writeFileSync(join(path, name), `#!/bin/sh\n${fake(real)}\n`, { mode: 0o755 });
    } else if (name !== lacks) {
      symlinkSync(real, join(path, name));
    }
  }
  return { PATH: path, TMPDIR: temporary };
}

/** Runs it there. */
function preflight(on: Machine, ...tools: string[]): Said {
  const env = machine(on);
  const { status, stdout, stderr } = spawnSync(PREFLIGHT, tools, { env, encoding: "utf8" });
  expect(stdout).toBe("");
  expect(readdirSync(env.TMPDIR)).toEqual([]);
  return { status, lines: stderr.split("\n").slice(0, -1) };
}

it("is silent where nothing is missing", () => {
  expect(preflight({})).toEqual({ status: 0, lines: [] });
  expect(preflight({}, "sh")).toEqual({ status: 0, lines: [] });
});

it.each([
  ["gcc", /^missing: gcc \(apt install gcc\)$/],
  ["make", /^missing: make \(apt install make\)$/],
  ["npm", /^missing: npm \(apt install npm\)$/],
  ["node", /^missing: node, version 20 or later \(apt install nodejs\b.*\)$/],
])("names %s where it is missing, and what to install, in one line", (lacks, line) => {
  const { status, lines } = preflight({ lacks });
  expect(lines).toEqual([expect.stringMatching(line)]);
  expect(status).toBe(1);
});

it.each(["demo", "build", "test", "lint"])("is what make %s begins with, and ends with", (target) => {
  const make = programs.get("make") ?? "";
  const env = machine({ lacks: "gcc" });
  const { status, stdout, stderr } = spawnSync(make, [target], { cwd: ROOT, env, encoding: "utf8" });
  expect(stdout).toBe("");
  expect(stderr.split("\n").filter((line) => !/^make(\[[0-9]+\])?: \*\*\*/.test(line))).toEqual([
    "missing: gcc (apt install gcc)",
    "",
  ]);
  expect(status).toBe(2);
});

it("names a tool that only the caller needs", () => {
  const { status, lines } = preflight({ lacks: "clang-format" }, "sh", "clang-format");
  expect(lines).toEqual(["missing: clang-format (apt install clang-format)"]);
  expect(status).toBe(1);
});

it("says in a line each what is missing", () => {
  const { status, lines } = preflight({ lacks: "gcc" }, "no-such-tool");
  expect(lines.map((line) => line.split(" ")[1])).toEqual(["gcc", "no-such-tool"]);
  expect(status).toBe(1);
});

it("names a node that is too old, its version, and where a newer one is", () => {
  const old = (): string => "case $1 in --version) echo v18.19.0 ;; -p) echo 18 ;; *) exit 1 ;; esac";
  const { status, lines } = preflight({ fakes: { node: old } });
  expect(lines).toEqual([
    expect.stringMatching(/^missing: node, version 20 .* v18\.19\.0 \(npm install .*\)$/),
  ]);
  expect(status).toBe(1);
});

/** A compiler that cannot compile programs with this in them. */
function without(text: string): (real: string) => string {
  return (real) =>
    `source=$(cat); case $source in *'${text}'*) exit 1 ;; esac; echo "$source" | exec ${real} "$@"`;
}

it.each([
  ["the C library's headers", without("stdio.h"), "libc6-dev"],
  [
    "a static C library",
    (real: string) => `case $* in *-static*) exit 1 ;; esac; exec ${real} "$@"`,
    "libc6-dev",
  ],
  ["headers of Linux 5.15 or later", without("linux/openat2.h"), "linux-libc-dev"],
])("tells %s from a compiler that is missing", (what, gcc, install) => {
  const { status, lines } = preflight({ fakes: { gcc } });
  expect(lines).toEqual([`missing: ${what} (apt install ${install})`]);
  expect(status).toBe(1);
});
