/** The commands with which README.md has its readers make a first task. */
import { TestDaemon } from "../support/daemon";
import { DocumentShell, documentedCommands, expectAnswer } from "../support/documented-commands";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";

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
