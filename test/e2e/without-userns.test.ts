/** A plain user's daemon where user namespaces are forbidden, or are of no use. */
import { execFile } from "node:child_process";
import { join, resolve } from "node:path";

import { Fixtures } from "../support/fixtures";
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

function expectAdvice(demo: Ended): void {
  expect(demo.stderr).toMatch(
    /^stockade: this host cannot contain a task: .*user\.max_user_namespaces.*apparmor_restrict_unprivileged_userns.*\n$/,
  );
  expect(demo.stdout).toBe("");
  expect(demo.code).toBe(125);
}

itRequires(["plain-user", "userns"], "the demo says what to do, in one line, and leaves", async () => {
  // A user namespace in which no other may be made: to the daemon it is a host that forbids them.
  const forbid = "echo 0 > /proc/sys/user/max_user_namespaces";
  const ids = [`--map-user=${process.geteuid?.()}`, `--map-group=${process.getegid?.()}`];
  const script = `${forbid} && exec ${STOCKADE} demo`;
  expectAdvice(await run("unshare", ["-U", "--keep-caps", ...ids, "sh", "-c", script]));
});

itRequires(
  ["plain-user", "userns"],
  "the demo says the same where nothing can be mounted in them",
  async () => {
    await using fixtures = await Fixtures.make("without-mounts");
    const demo = await run(join(fixtures.directory, "without-mounts"), [STOCKADE, "demo"]);
    expectAdvice(demo);
    expect(demo.stderr).toContain("EACCES");
  },
);
