/** The picture of the rooms in docs/architecture.md, beside the folders that are there. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(__dirname, "../..");

/** The paths that the picture names; an indented one is below the last that is not. */
function pictured(): string[] {
  const text = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");
  const [, picture = ""] = /^## Rooms\n\n```\n(.*?)^```$/ms.exec(text) ?? [];
  let above = "";
  return [...picture.matchAll(/^( {2})?(\S+)(?= {2})/gm)].map(([, indent, name = ""]) => {
    if (indent !== undefined) return above + name;
    above = name;
    return name;
  });
}

/** Folders with a slash at their end, and the files that are in no room. */
function contents(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (!entry.isDirectory()) return directory === "src" ? [path] : [];
    // What the build has made there is in folders of the packages' names.
    return path === "src/gen" ? [`${path}/`] : [`${path}/`, ...contents(path)];
  });
}

it("the picture has each folder of src/, the files beside them, and none that is not there", () => {
  const inSource = pictured().filter((path) => path.startsWith("src/"));
  // It is not there before the first build.
  const there = new Set(["src/gen/", ...contents("src")]);
  expect(inSource.sort()).toEqual([...there].sort());
});
