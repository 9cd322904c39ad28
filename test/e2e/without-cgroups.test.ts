/** A root's daemon on a host whose cgroups it cannot use. */
import { readFileSync } from "node:fs";

import { OwnDaemon } from "../../src/cli/own-daemon";
import { ExitReason } from "../../src/client";
import { descendants, failure, until } from "../support/daemon";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { initOf } from "../support/inits";
import { itRequires, SLOW } from "../support/requires";
import { Scratch } from "../support/task-files";
import { programWithoutCgroups } from "../support/without-cgroups";

let scratch: Scratch;
let program: string;

beforeAll(() => {
  scratch = new Scratch();
  program = programWithoutCgroups(scratch);
});

afterAll(() => scratch[Symbol.dispose]());

const request = { allocId: "a", taskName: "t", command: "/bin/sh", args: ["-c", "sleep 1000 & exit 3"] };

itRequires("root", "runs tasks by PID ids, says so, and kills what they leave", async () => {
  await using daemon = await OwnDaemon.start({ program });
  const { client } = daemon;

  const refused = await failure(client.configure(request));
  expect(refused).toMatchObject({ code: "FAILED_PRECONDITION", reason: "UNENFORCEABLE" });
  expect(refused.metadata).toHaveProperty("cgroup");

  const { id, unenforced } = await client.configure({ ...request, allowUnenforced: true });
  expect(id).toMatch(/^PID:[0-9]+:[0-9a-f-]{36}$/);
  expect(unenforced.map(({ name }) => name)).toEqual(["cgroup"]);
  await client.start(id);
  const { exit } = await client.wait(id);
  expect(exit).toMatchObject({
    status: { $case: "exitCode", value: 3 },
    reason: ExitReason.EXIT_REASON_EXITED,
  });
  expect(exit?.usage?.pidsPeak).toBeUndefined();
});

itRequires("root", "refuses to start where a cgroup root was asked for", async () => {
  const started = OwnDaemon.start({ program, cgroupRoot: "/stockade-none" });
  await expect(started).rejects.toThrow(/cgroup/);
});

itRequires("root", "ends a task that has init wait for its output pipe", async () => {
  await using fixtures = await Fixtures.make("hold-pipe");
  await using daemon = await OwnDaemon.start({ program, config: fixtures.config });
  const { client } = daemon;
  const command = `${FIXTURES}/hold-pipe`;
  const hold = { command, args: ["/bin/sleep", "1000"], mounts: fixtures.mounts };
  const { id } = await client.configure({ allocId: "a", taskName: "t", allowUnenforced: true, ...hold });
  const { pid } = await client.start(id);
  const init = initOf(pid);
  await until(() => readFileSync(`/proc/${init}/stat`, "utf8").includes(" (stockade-init) D "));
  const holders = descendants(init);
  try {
    const { exit } = await client.forceStop(id, { timeoutMs: 5_000 * SLOW });
    expect(exit?.reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
  } finally {
    for (const holder of holders) {
      try {
        process.kill(holder, "SIGKILL");
      } catch {
        // It has ended, as it is to.
      }
    }
  }
});
