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

it("package-lock.json leaves it to npm where packages come from", () => {
  expect(readFileSync(join(ROOT, "package-lock.json"), "utf8")).not.toContain('"resolved"');
});
