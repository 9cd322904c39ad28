/** A root's daemon on a host whose cgroups it cannot use. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { OwnDaemon } from "../../src/cli/own-daemon";
import { ExitReason } from "../../src/client";
import { failure, PROGRAM } from "../support/daemon";
import { itRequires } from "../support/requires";

let scratch: string;
let program: string;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "stockade-without-cgroups-"));
  program = join(scratch, "stockaded");
  // In a mount namespace of its own, with no cgroup mounted.
  const script = 'umount -l /sys/fs/cgroup && exec "$0" "$@"';
  writeFileSync(program, `#!/bin/sh\nexec unshare -m sh -c '${script}' ${PROGRAM} "$@"\n`);
  chmodSync(program, 0o755);
});

afterAll(() => {
  rmSync(scratch, { recursive: true });
});

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
