/** A plain user's daemon where user namespaces are forbidden. */
import { execFile } from "node:child_process";
import { resolve } from "node:path";

import { itRequires } from "../support/requires";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");

interface Ended {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: readonly string[]): Promise<Ended> {
  return new Promise((done) => {
    execFile(program, args, (error, stdout, stderr) => {
      done({ code: error?.code, stdout, stderr });
    });
  });
}

itRequires(["plain-user", "userns"], "the demo says what to do, in one line, and leaves", async () => {
  // A user namespace in which no other may be made: to the daemon it is a host that forbids them.
  const forbid = "echo 0 > /proc/sys/user/max_user_namespaces";
  const ids = [`--map-user=${process.geteuid?.()}`, `--map-group=${process.getegid?.()}`];
  const script = `${forbid} && exec ${STOCKADE} demo`;
  const demo = await run("unshare", ["-U", "--keep-caps", ...ids, "sh", "-c", script]);
  expect(demo.stderr).toMatch(
    /^stockade: this host cannot contain a task: .*user\.max_user_namespaces.*apparmor_restrict_unprivileged_userns.*\n$/,
  );
  expect(demo.stdout).toBe("");
  expect(demo.code).toBe(125);
});
