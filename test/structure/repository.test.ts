import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(__dirname, "../..");

const FOLDERS = ["proto", "src", "native", "test", "docker", "bench", "docs"];

const TOOL_CONFIGS = [
  "Makefile",
  "buf.gen.yaml",
  "buf.yaml",
  "eslint.config.mjs",
  "jest.config.js",
  "package-lock.json",
  "package.json",
  "tsconfig.json",
];

/** Made by the build, and ignored by git. */
const MADE = ["dist", "node_modules"];

it("the top level has no folder or file but those that the layout names", () => {
  const unknown = readdirSync(ROOT, { withFileTypes: true })
    .filter(({ name }) => !name.startsWith(".") && !MADE.includes(name))
    .filter((entry) =>
      entry.isDirectory()
        ? !FOLDERS.includes(entry.name)
        : !TOOL_CONFIGS.includes(entry.name) && !/^([A-Z]+\.md|LICENSE)$/.test(entry.name),
    )
    .map(({ name }) => name);
  expect(unknown).toEqual([]);
});

it("those who use it and those who carry it on find what they look for, and may", () => {
  const documents = [
    "README",
    "CONTRIBUTING",
    "CHANGELOG",
    "SECURITY",
    "docs/decisions",
    "native/PRIVILEGES",
  ];
  for (const name of documents) expect(readFileSync(join(ROOT, `${name}.md`), "utf8")).toMatch(/^# \S/);
  expect(readFileSync(join(ROOT, "LICENSE"), "utf8")).toMatch(/^MIT License\n/);
});

it("package-lock.json leaves it to npm where packages come from", () => {
  expect(readFileSync(join(ROOT, "package-lock.json"), "utf8")).not.toContain('"resolved"');
});
