/** docs/grpcurl.md, by the real grpcurl: server reflection, each call, errors. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { ExecutorServiceService } from "../../src/gen/executor/v1/executor";
import { TestDaemon } from "../support/daemon";
import { DocumentShell, documentedCommands, expectAnswer } from "../support/documented-commands";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";

const DOCUMENT = "docs/grpcurl.md";
const run = promisify(execFile);

it("each call of the API is in the document", () => {
  const shown = documentedCommands(DOCUMENT).map(({ text }) => /^call (\w+)/.exec(text)?.[1]);
  const calls = Object.values(ExecutorServiceService).map(({ path }) => path.split("/").at(-1));
  expect(new Set(shown.filter((call) => call !== undefined))).toEqual(new Set(calls));
});

itRequires(["root", "cgroups", "grpcurl"], "they do what the document shows", async () => {
  await using daemon = await TestDaemon.start();
  const shell = new DocumentShell(DOCUMENT, daemon);
  for (const command of documentedCommands(DOCUMENT)) {
    if (command.text.startsWith("ID=")) continue;
    if (command.shown.startsWith("ERROR: ")) {
      const failure = await shell.run(command).then(
        () => "",
        (error: unknown) => (error as { stderr: string }).stderr,
      );
      for (const part of command.shown.replace("ERROR: ", "").split(", ")) expect(failure).toContain(part);
    } else expectAnswer(await shell.run(command), command);
  }
  await expectNothingLeft(daemon);
});

itRequires("grpcurl", "lists and describes services, messages and errors' details", async () => {
  await using daemon = await TestDaemon.start();
  const socket = daemon.daemon.address.replace(/^unix:/, "");
  const grpcurl = async (...args: readonly string[]): Promise<string> =>
    (await run("grpcurl", ["-plaintext", "-unix", socket, ...args])).stdout;

  expect((await grpcurl("list")).trim().split("\n")).toEqual([
    "executor.v1.ExecutorService",
    "grpc.health.v1.Health",
  ]);
  expect(await grpcurl("describe", "executor.v1.LimitRequest")).toContain(
    "// Required, with at least one field set.",
  );
  expect(await grpcurl("describe", "google.rpc.BadRequest")).toContain("field_violations");
  expect(JSON.parse(await grpcurl("grpc.health.v1.Health/Check"))).toEqual({ status: "SERVING" });
});
