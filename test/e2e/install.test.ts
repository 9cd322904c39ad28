/** What `make install` puts on a host, and `make uninstall` takes away. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(__dirname, "../..");
const UNITS = ["stockade-tasks.service", "stockaded.service"];

let host: string;

beforeAll(() => {
  host = mkdtempSync(join(tmpdir(), "stockade-install-"));
  make("install");
});

afterAll(() => rmSync(host, { recursive: true }));

function make(target: string): void {
  execFileSync("make", ["-s", "-C", ROOT, target, `DESTDIR=${host}`, "PREFIX=/opt/it"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function filesBelow(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name));
}

const library = (): string => join(host, "opt/it/lib/stockade");

it("has all that the daemon loads, and nothing that only its build needs", () => {
  execFileSync(process.execPath, ["-e", `require(${JSON.stringify(join(library(), "dist/js/serve.js"))})`]);
  expect(readdirSync(library()).sort()).toEqual(["LICENSE", "dist", "node_modules", "package.json", "proto"]);
  expect(readdirSync(join(library(), "dist")).sort()).toEqual(["bin", "js"]);
  expect(readdirSync(join(library(), "node_modules"))).not.toContain("typescript");
});

it("has its commands in the path, by where they will be", () => {
  expect(readdirSync(join(host, "opt/it/bin")).sort()).toEqual(["stockade", "stockaded"]);
  const target = readlinkSync(join(host, "opt/it/bin/stockaded"));
  expect(target).toBe("/opt/it/lib/stockade/dist/bin/stockaded");
  expect(execFileSync(join(host, target), ["--version"], { encoding: "utf8" })).toMatch(/^stockaded \d/);
});

it("has its units, which name what has been installed", () => {
  const units = join(host, "opt/it/lib/systemd/system");
  expect(readdirSync(units).sort()).toEqual(UNITS);
  for (const unit of UNITS) {
    const text = readFileSync(join(units, unit), "utf8");
    const [, program = ""] = /^ExecStart=(\S+)/m.exec(text) ?? [];
    expect(program).toMatch(/^\/opt\/it\//);
    expect(statSync(join(host, program)).mode & 0o111).toBe(0o111);
    expect(text).not.toContain("@");
  }
});

it("can be read by all, and written by its owner alone", () => {
  const open = filesBelow(join(host, "opt/it/lib")).filter((file) => (statSync(file).mode & 0o066) !== 0o044);
  expect(open).toEqual([]);
});

it("replaces what is there whole, and is taken away without a rest", () => {
  writeFileSync(join(library(), "dist/js/of-an-earlier-version.js"), "");
  make("install");
  expect(existsSync(join(library(), "dist/js/of-an-earlier-version.js"))).toBe(false);
  make("uninstall");
  expect(filesBelow(host)).toEqual([]);
});
