/** A root's daemon on a host whose cgroups it cannot use. */
import { OwnDaemon } from "../../src/cli/own-daemon";
import { ExitReason } from "../../src/client";
import { failure } from "../support/daemon";
import { itRequires } from "../support/requires";
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
