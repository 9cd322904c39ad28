/** A plain user's daemon where user namespaces are forbidden, or are of no use. */
import { execFile } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";

import { PROGRAM } from "../support/daemon";
import { Fixtures } from "../support/fixtures";
import { itRequires } from "../support/requires";
import { Scratch } from "../support/task-files";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");

let scratch: Scratch;
let fixtures: Fixtures;

beforeAll(async () => {
  scratch = new Scratch();
  fixtures = await Fixtures.make("without-mounts");
});

beforeEach(() => mkdirSync(join(scratch.path, "tmp")));

afterEach(() => scratch.sh("rm -rf tmp state alloc"));

afterAll(async () => {
  scratch[Symbol.dispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

interface Ended {
  readonly code: string;
  readonly stdout: string;
  readonly stderr: string;
  /** The names of what has outlived it, but for who looks. */
  readonly left: string;
}

const MARK = "--- ended: ";

/**
 * Runs a program after a line of shell, in a user namespace of its own, as the user that this is, and in a pid
 * namespace, so that all that it starts is seen.
 */
function run(before: string, program: readonly string[]): Promise<Ended> {
  const ids = [`--map-user=${process.geteuid?.()}`, `--map-group=${process.getegid?.()}`];
  const own = ["-U", "--keep-caps", ...ids, "--pid", "--fork", "--mount-proc", "--kill-child"];
  // A shell's own "echo" and "read": nothing is started to look.
  const look = 'for file in /proc/[0-9]*/comm; do read -r name <"$file" && echo "$name"; done';
  const script = `${before} || exit; "$@"; echo "${MARK}$?"; ${look}`;
  const env = { ...process.env, TMPDIR: join(scratch.path, "tmp") };
  return new Promise((done, fail) => {
    execFile("unshare", [...own, "sh", "-c", script, "sh", ...program], { env }, (error, said, stderr) => {
      if (error !== null) {
        fail(new Error(`${error.message}\n${stderr}`));
        return;
      }
      const [stdout = "", rest = ""] = said.split(MARK);
      const [code = "", ...left] = rest.trimEnd().split("\n");
      done({ code, stdout, stderr, left: left.join(" ") });
    });
  });
}

const ADVICE =
  /this host cannot contain a task: .*user\.max_user_namespaces.*apparmor_restrict_unprivileged_userns/;

function expectAdvice({ stdout, stderr, left }: Ended): void {
  expect(stderr).toMatch(ADVICE);
  expect([stdout, left]).toEqual(["", "sh"]);
  expect(readdirSync(join(scratch.path, "tmp"))).toEqual([]);
}

/** The demo says it in one line. */
async function tryDemo(before: string, wrapper: readonly string[] = []): Promise<Ended> {
  const demo = await run(before, [...wrapper, STOCKADE, "demo"]);
  expectAdvice(demo);
  expect(demo.stderr).toMatch(/^stockade: .*\n$/);
  expect(demo.code).toBe("125");
  return demo;
}

/** The daemon says it in its log, and ends; of what it has tried nothing is left in its directories. */
async function tryDaemon(before: string, wrapper: readonly string[] = []): Promise<Ended> {
  const at = (name: string): string => join(scratch.path, name);
  const flags = [
    "--listen",
    `unix:${at("tmp/sock")}`,
    "--state-dir",
    at("state"),
    "--alloc-dir",
    at("alloc"),
  ];
  const daemon = await run(before, [...wrapper, PROGRAM, ...flags]);
  expectAdvice(daemon);
  expect(daemon.code).toBe("1");
  expect(readdirSync(at("state/tasks"))).toEqual([]);
  expect(readdirSync(at("alloc")).filter((name) => !name.startsWith("."))).toEqual([]);
  return daemon;
}

describe.each([
  ["the demo", tryDemo],
  ["the daemon", tryDaemon],
])("%s says what to do, and leaves,", (_name, attempt) => {
  itRequires(["plain-user", "userns"], "where user namespaces are forbidden", async () => {
    // To what it starts it is a host that forbids them.
    await attempt("echo 0 > /proc/sys/user/max_user_namespaces");
  });

  itRequires(["plain-user", "userns"], "where nothing can be mounted in them", async () => {
    const { stderr } = await attempt("true", [join(fixtures.directory, "without-mounts")]);
    expect(stderr).toContain("EACCES");
  });
});
