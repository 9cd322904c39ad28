/** The commands with which README.md has its readers make a first task. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { TestDaemon } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";

const run = promisify(execFile);
const ROOT = resolve(__dirname, "../..");

/** The paths of the README's daemon, which is started without flags. */
const SOCKET = "/run/stockade/stockaded.sock";
const ALLOC_DIR = "/var/lib/stockade/alloc";

/** The blocks of commands that call grpcurl. */
function grpcurlBlocks(): string[] {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  return [...readme.matchAll(/^```sh\n(.*?)^```$/gms)]
    .map(([, block = ""]) => block)
    .filter((block) => block.includes("grpcurl"));
}

/** The definition of `call`, each command after it, and what a comment of the README's says of its answer. */
function parse(block: string): { define: string; commands: { text: string; shown: string }[] } {
  const [, define = "", rest = ""] = /^(call\(\) \{.*?; \}\n)(.*)$/s.exec(block) ?? [];
  const commands = [...rest.matchAll(/^((?:call|sudo cat|ID=).*?)(?:\s+# (.*)|\n# (.*))?$/gm)];
  return {
    define,
    commands: commands.map(([, text = "", beside, below]) => ({ text, shown: beside ?? below ?? "" })),
  };
}

/** A JSON answer as the README shows it: what it leaves out is "…". */
function shownAnswer(shown: string): object {
  return JSON.parse(shown.replace(", …", "")) as object;
}

it("README.md has one block of them, with every call of a task's life", () => {
  expect(grpcurlBlocks()).toHaveLength(1);
  const { commands } = parse(grpcurlBlocks()[0] ?? "");
  expect(
    commands.map(({ text }) =>
      text
        .replace(/^ID=.*/, "ID")
        .split(" ")
        .slice(0, 2)
        .join(" "),
    ),
  ).toEqual(["call Configure", "ID", "call Limit", "call Start", "call Wait", "sudo cat"]);
});

itRequires(["root", "cgroups", "grpcurl"], "they do what README.md shows", async () => {
  await using daemon = await TestDaemon.start();
  const { define, commands } = parse(grpcurlBlocks()[0] ?? "");
  const [configure, id, limit, start, wait, cat] = commands;
  const socket = daemon.daemon.address.replace(/^unix:/, "");
  const prelude = [define];
  const sh = async (command: { text: string } | undefined): Promise<string> => {
    const script = [...prelude, command?.text]
      .join("\n")
      .replaceAll("sudo ", "")
      .replaceAll(SOCKET, socket)
      .replaceAll(ALLOC_DIR, join(daemon.daemon.directory, "alloc"));
    return (await run("sh", ["-ec", script], { cwd: ROOT })).stdout;
  };
  const answer = async (command: typeof configure): Promise<unknown> => JSON.parse(await sh(command));

  const configured = (await answer(configure)) as { id: string };
  expect(Object.keys(configured)).toEqual(Object.keys(shownAnswer(configure?.shown ?? "")));
  expect(configured.id).toMatch(/^CGROUP:\/.*\/[0-9a-f-]{36}$/);
  // In the README it is one that was answered once.
  expect(id?.text).toMatch(/^ID=CGROUP:\/stockade\/[0-9a-f-]+…$/);
  prelude.push(`ID=${configured.id}`);

  expect(await answer(limit)).toMatchObject({ effective: { memoryBytes: "67108864", cpuMillis: "500" } });
  expect(await answer(start)).toMatchObject({ pid: expect.any(Number) as number });
  expect(await answer(wait)).toMatchObject(shownAnswer(wait?.shown ?? ""));
  expect(await sh(cat)).toMatch(/^uid=65534\(nobody\).*\nhello from \/local\n$/);
  await expectNothingLeft(daemon);
});
