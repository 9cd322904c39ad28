/** What a task can learn from its init, and do to it. */
import { readdirSync } from "node:fs";
import { resolve } from "node:path";

import { TestDaemon } from "../support/daemon";
import { itRequires } from "../support/requires";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

afterEach(() => {
  expect(daemon.leftovers()).toEqual([]);
});

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

itRequires(["root"], "init holds no descriptor of the host's but the exit record and the logs", async () => {
  const id = await daemon.configure({ command: "/bin/sleep", args: ["1000"] });
  await daemon.client.start(id);
  const [init] = daemon.initPids();
  expect(init).toBeDefined();
  // By names below their own file system: init's root is another.
  const files = daemon
    .openFiles(init ?? 0)
    .filter((target) => target.startsWith("/"))
    .map((target) => target.replace(/^.*(?=\/tasks\/)/, ""));
  const record = daemon.recordDir(id).replace(/^.*(?=\/tasks\/)/, "");
  const own = [`${record}/exit`, `${record}/log/stderr`, `${record}/log/stdout`];
  expect(files.filter((file) => file !== "/proc" && file !== "/").sort()).toEqual(own);
  expect(readdirSync(`/proc/${init}/task`)).toHaveLength(1);
  await daemon.client.forceStop(id);
});
