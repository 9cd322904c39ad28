/** What a task can learn from its init, and do to it. */
import { resolve } from "node:path";

import { TestDaemon } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

it("no file of /proc/1 that a task can read shows a path of the host", async () => {
  const { stdout } = await daemon.run(
    "for f in /proc/1/* /proc/1/task/1/* /proc/1/net/*; do cat $f 2>/dev/null; readlink $f; done",
  );
  expect(stdout).toContain("stockade-init");
  expect(stdout).not.toContain(daemon.daemon.directory);
  expect(stdout).not.toContain(resolve(__dirname, "../.."));
});

it("a task that kills and stops everything that it can reach ends by itself", async () => {
  const { exit, stdout } = await daemon.run(
    "for s in KILL STOP TERM HUP SEGV CONT; do kill -$s 1 && echo reached; done 2>/dev/null; echo alive; exit 3",
  );
  expect(exit.status).toEqual({ $case: "exitCode", value: 3 });
  expect(stdout).toMatch(/alive\n$/);
});

it("a task cannot trace its init, read its memory or change its limits", async () => {
  const { stdout } = await daemon.run(
    "cat /proc/1/mem; cat /proc/1/environ; ls /proc/1/fd; ls /proc/1/root; cat /proc/1/maps; " +
      "echo 0 > /proc/1/oom_score_adj; echo end",
  );
  expect(stdout).toBe("end\n");
});
