/** What a plain user's daemon can and cannot give its tasks, and what it says of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { failure, TestDaemon } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";

const CAP_KILL = "0000000000000020";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
});

afterAll(() => daemon?.[Symbol.asyncDispose]());

afterEach(() => expectNothingLeft(daemon));

async function unenforcedNames(): Promise<string[]> {
  const { id, unenforced } = await daemon.client.configure({
    allocId: daemon.freshName(),
    taskName: "t",
    command: "/bin/true",
    allowUnenforced: true,
  });
  await daemon.client.forceStop(id);
  for (const { reason } of unenforced) expect(reason).not.toBe("");
  return unenforced.map(({ name }) => name);
}

/** A process as the host sees it. */
function status(pid: number): ReadonlyMap<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, "utf8").split("\n");
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

itRequires("plain-user", "a task is refused unless its client allows what is not in force", async () => {
  const refused = await failure(
    daemon.client.configure({ allocId: daemon.freshName(), taskName: "t", command: "/bin/true" }),
  );
  expect(refused).toMatchObject({ code: "FAILED_PRECONDITION", reason: "UNENFORCEABLE" });
  expect(refused.message).toContain("cgroup");
});

itRequires(["plain-user", "subids"], "with subordinate ids only cgroups are not in force", async () => {
  expect(await unenforcedNames()).toEqual(["cgroup"]);
});

itRequires(["plain-user", "subids"], "with subordinate ids init is another user than the task", async () => {
  const { id, pid } = await daemon.started();
  const init = Number(id.split(":")[1]);
  const initStatus = status(init);
  const own = `${process.geteuid?.()}`;
  expect(status(pid).get("Uid")?.split("\t")).toEqual([own, own, own, own]);
  const uids = new Set(initStatus.get("Uid")?.split("\t"));
  expect(uids.size).toBe(1);
  expect(uids).not.toContain(own);
  expect(initStatus.get("CapPrm")).toBe(CAP_KILL);
  expect(initStatus.get("CapEff")).toBe(CAP_KILL);
  expect(() => readFileSync(`/proc/${init}/environ`)).toThrow(/EACCES/);
  await daemon.client.forceStop(id);
});

itRequires(
  ["plain-user", "subids"],
  "with subordinate ids a task has none of the daemon's groups",
  async () => {
    const { stdout } = await daemon.run("sed -n 's/^Groups:[[:space:]]*//p' /proc/self/status");
    expect(stdout.trim()).toBe("");
  },
);

itRequires(["plain-user", "no-subids"], "without them that is not in force either, and said so", async () => {
  expect(await unenforcedNames()).toEqual(["cgroup", "supplementary_groups", "init_uid"]);
});

itRequires("plain-user", "a task's log is not its own to write", async () => {
  const { id, stdout } = await daemon.run("echo whole; ls /local; echo broken > /local/t.stdout");
  expect(stdout).toBe("whole\n");
  expect(readFileSync(join(daemon.recordDir(id), "log/stdout"), "utf8")).toBe("whole\n");
});

itRequires("plain-user", "/alloc itself is not the task's to write, but what is in it is", async () => {
  const { stderr, stdout } = await daemon.run(
    "echo x > /alloc/x; echo y > /alloc/data/y; cat /alloc/data/y; mkdir /x",
  );
  expect(stdout).toBe("y\n");
  expect(stderr.split("\n").filter((line) => line.includes("Read-only"))).toHaveLength(2);
});
