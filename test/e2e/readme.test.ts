/** The commands of README.md: a first task by hand, and what is typed. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { promisify } from "node:util";

import { PROGRAM, TestDaemon } from "../support/daemon";
import { DocumentShell, documentedCommands, expectAnswer } from "../support/documented-commands";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { Scratch } from "../support/task-files";

it("README.md has every call of a task's life", () => {
  const words = documentedCommands("README.md").map(({ text }) => text.split(" ").slice(0, 2).join(" "));
  expect(words.map((text) => text.replace(/^ID=.*/, "ID"))).toEqual([
    "call Configure",
    "ID",
    "call Limit",
    "call Start",
    "call Wait",
    "sudo cat",
  ]);
});

itRequires(["root", "cgroups", "grpcurl"], "they do what README.md shows", async () => {
  await using daemon = await TestDaemon.start();
  const shell = new DocumentShell("README.md", daemon);
  for (const command of documentedCommands("README.md")) {
    const said = await shell.run(command);
    if (command.text.startsWith("call")) expectAnswer(said, command);
    if (command.text.startsWith("sudo cat"))
      expect(said).toMatch(/^uid=65534\(nobody\).*\nhello from \/local\n$/);
  }
  await expectNothingLeft(daemon);
});

itRequires(["root", "cgroups"], "what is typed does what README.md says", async () => {
  const text = readFileSync(resolve(__dirname, "../../README.md"), "utf8");
  const [, typed = ""] = /^## By `stockade`\n.*?^```sh\n(.*?)^```$/ms.exec(text) ?? [];
  // Who follows a task that goes on presses Ctrl-C.
  const script = typed.replace(/^stockade logs -f/m, "timeout --signal=INT 2 stockade logs -f");
  expect(script).not.toBe(typed);
  await using daemon = await TestDaemon.start();
  using scratch = new Scratch();
  const env = {
    ...process.env,
    PATH: `${dirname(PROGRAM)}:${process.env["PATH"]}`,
    STOCKADE_HOST: daemon.daemon.address,
  };
  const { stdout } = await promisify(execFile)("bash", ["-c", script], { cwd: scratch.path, env });
  expect(stdout).toMatch(/^hello\n7\nCGROUP:/);
  expect(stdout).toMatch(/\bweb +running\b/);
  expect(stdout).toMatch(/^143$/m);
  expect(stdout).toMatch(/\n2\n$/);
  await expectNothingLeft(daemon);
});
