/** A plain user's daemon where user namespaces are forbidden. */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

import { itRequires } from "../support/requires";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");

itRequires(["plain-user", "userns"], "the demo says what to do, in one line, and leaves", () => {
  // A user namespace in which no other may be made: to the daemon it is a host that forbids them.
  const forbid = "echo 0 > /proc/sys/user/max_user_namespaces";
  const ids = [`--map-user=${process.geteuid?.()}`, `--map-group=${process.getegid?.()}`];
  const demo = spawnSync(
    "unshare",
    ["-U", "--keep-caps", ...ids, "sh", "-c", `${forbid} && exec ${STOCKADE} demo`],
    {
      encoding: "utf8",
    },
  );
  expect(demo.stderr).toMatch(
    /^stockade: this host cannot contain a task: .*user\.max_user_namespaces.*apparmor_restrict_unprivileged_userns.*\n$/,
  );
  expect(demo.stdout).toBe("");
  expect(demo.status).toBe(125);
});
