/** The verbs of `stockade`, as people and scripts have them: the real program against a real daemon. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";

import { isRoot, TestDaemon } from "../support/daemon";
import { expectNothingLeftSoon } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { Scratch } from "../support/task-files";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");

/** What a plain user's daemon cannot do without. */
const RUN = isRoot() ? ["run"] : ["run", "--allow-unenforced"];

let daemon: TestDaemon;
const scratch = new Scratch();

beforeAll(async () => {
  daemon = await TestDaemon.start({
    allowed_paths: [
      { path: "/bin" },
      { path: "/etc" },
      { path: "/lib" },
      { path: "/lib32" },
      { path: "/lib64" },
      { path: "/usr" },
      { path: scratch.path },
    ],
  });
});

afterEach(() => expectNothingLeftSoon(daemon));

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Program {
  readonly child: ChildProcess;
  readonly ended: Promise<Said>;
  /** Resolves once its output has the text. */
  says(text: string): Promise<void>;
}

interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The standard input; default: nothing. */
  readonly input?: string | Uint8Array;
}

function start(args: readonly string[], { env = {}, cwd, input = "" }: Surroundings = {}): Program {
  const child = spawn(STOCKADE, args, {
    stdio: ["pipe", "pipe", "pipe"],
    cwd,
    env: { ...process.env, STOCKADE_HOST: daemon.daemon.address, ...env },
  });
  // A program that does not read to the end is free to.
  child.stdin.on("error", () => undefined).end(input);
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("latin1").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, stdout, stderr }));
  const says = async (text: string): Promise<void> => {
    while (!stdout.includes(text)) await Promise.race([once(child.stdout, "data"), failIfEnded(ended)]);
  };
  return { child, ended, says };
}

async function failIfEnded(ended: Promise<Said>): Promise<never> {
  throw new Error(`it has ended: ${JSON.stringify(await ended)}`);
}

function stockade(...args: readonly string[]): Promise<Said> {
  return start(args).ended;
}

function sh(script: string, ...flags: readonly string[]): Promise<Said> {
  return stockade(...RUN, ...flags, "sh", "-c", script);
}

describe("run", () => {
  it("passes the output on byte for byte, and exits as the task does", async () => {
    const { code, stdout, stderr } = await sh(String.raw`printf '\000\377\033[31m'; echo err >&2; exit 7`);
    expect({ code, stdout, stderr }).toEqual({ code: 7, stdout: "\0\xff\x1b[31m", stderr: "err\n" });
  });

  it.each([
    ["exit 0", 0],
    ["exit 125", 125],
    ["kill -KILL $$", 137],
    ["kill -TERM $$", 143],
  ])("%s: exit status %d", async (script, code) => {
    expect(await sh(script)).toEqual({ code, stdout: "", stderr: "" });
  });

  it("a command that is not there is 127, and one that cannot be executed 126", async () => {
    const absent = await stockade(...RUN, "no-such-command");
    expect(absent.code).toBe(127);
    expect(absent.stderr).toMatch(/^stockade: .*\n$/);
    const noProgram = await stockade(...RUN, "/etc/passwd");
    expect(noProgram.code).toBe(126);
  });

  it("flags end where the command begins", async () => {
    expect((await stockade(...RUN, "echo", "-m", "--help")).stdout).toBe("-m --help\n");
    expect((await stockade(...RUN, "--", "echo", "x")).stdout).toBe("x\n");
  });

  it("has the flags that docker has", async () => {
    writeFileSync(join(scratch.path, "file"), "of the host\n");
    chmodSync(join(scratch.path, "file"), 0o644);
    const flags = ["-e", "A=b=c", "-e", "FROM_HERE", "-w", "/tmp", "-v", `${scratch.path}:/seen:ro`];
    const program = start(
      [...RUN, ...flags, "--timeout", "1m", "sh", "-c", 'echo "$A $FROM_HERE $(pwd)"; cat /seen/file'],
      { env: { FROM_HERE: "here" } },
    );
    expect(await program.ended).toEqual({ code: 0, stdout: "b=c here /tmp\nof the host\n", stderr: "" });
  });

  itRequires("root", "--user names who the task is", async () => {
    const uid = execFileSync("id", ["-u", "daemon"], { encoding: "latin1" });
    const gid = execFileSync("getent", ["group", "mail"], { encoding: "latin1" }).split(":")[2];
    expect(await stockade(...RUN, "--user", "daemon", "id", "-u")).toEqual({
      code: 0,
      stdout: uid,
      stderr: "",
    });
    expect((await stockade(...RUN, "-u", "mail:mail", "id", "-g")).stdout).toBe(`${gid}\n`);
  });

  it("--network says whose the task's is", async () => {
    const hosts = `${readlinkSync("/proc/self/ns/net")}\n`;
    const networkBy = async (...flags: string[]): Promise<string> => {
      const { code, stdout, stderr } = await stockade(...RUN, ...flags, "readlink", "/proc/self/ns/net");
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(/^net:\[\d+\]\n$/);
      return stdout;
    };
    expect(await networkBy("--network", "host")).toBe(hosts);
    expect(await networkBy("--network", "none")).not.toBe(hosts);
    expect(await networkBy()).not.toBe(hosts);
  });

  itRequires(["root", "cgroups"], "limits are as typed, and a task that exceeds them says so", async () => {
    const held = start([
      ...RUN,
      "-m",
      "64m",
      "--cpus",
      ".5",
      "--pids",
      "20",
      "--name",
      "limited",
      "sh",
      "-c",
      "echo on; sleep 1000",
    ]);
    await held.says("on");
    const [task] = JSON.parse((await stockade("inspect", "limited")).stdout) as { limits: unknown }[];
    expect(task?.limits).toEqual({ memoryBytes: "67108864", cpuMillis: "500", pidsMax: "20" });
    expect((await stockade("stop", "--force", "limited")).code).toBe(0);
    expect((await held.ended).code).toBe(137);
    const oom = await sh("exec tail /dev/zero", "-m", "16m");
    expect(oom.code).toBe(137);
    expect(oom.stderr).toBe("stockade: the task was killed for want of memory\n");
  });

  it("a task that runs longer than it may is killed, and that is said", async () => {
    const { code, stderr } = await sh("exec sleep 1000", "--timeout", ".3s");
    expect(code).toBe(137);
    expect(stderr).toBe("stockade: the task ran longer than its timeout, and was killed\n");
  });

  it("as JSON it is one document, for people or programs", async () => {
    const { code, stdout } = await sh("echo hi; exit 3", "--output", "json");
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ exitCode: 3, reason: "EXITED", stdout: "hi\n", failed: true });
  });

  it("-i passes the standard input on, byte for byte; without it there is none", async () => {
    const input = Buffer.from([0, 255, 10, 27, 91, 51, 49, 109]);
    const { stdout, stderr, code } = await start([...RUN, "-i", "cat"], { input }).ended;
    expect({ stdout, stderr, code }).toEqual({ stdout: input.toString("latin1"), stderr: "", code: 0 });
    expect((await start([...RUN, "wc", "-c"], { input }).ended).stdout).toBe("0\n");
    const most = Buffer.alloc(4_190_000, "x");
    expect((await start([...RUN, "--interactive", "wc", "-c"], { input: most }).ended).stdout).toBe(
      "4190000\n",
    );
  });

  it.each([4 * 1024 * 1024 + 1, 4 * 1024 * 1024])(
    "a standard input of %d bytes is more than there is room for, and that is said",
    async (size) => {
      const { code, stdout, stderr } = await start([...RUN, "-i", "cat"], { input: Buffer.alloc(size) })
        .ended;
      expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
      expect(stderr).toMatch(/^stockade: .*4 MiB.*--volume.*\n$/);
    },
  );

  it("--file brings a file along, with its permissions", async () => {
    writeFileSync(join(scratch.path, "tool"), "#!/bin/sh\necho tool of $(pwd)\n");
    chmodSync(join(scratch.path, "tool"), 0o755);
    const files = ["--file", `${scratch.path}/tool:/local/bin/`, "--file", `tool:/alloc/data/copy`];
    const said = await start([...RUN, ...files, "sh", "-c", "/local/bin/tool && cat /alloc/data/copy"], {
      cwd: scratch.path,
    }).ended;
    expect(said).toEqual({ code: 0, stdout: "tool of /local\n#!/bin/sh\necho tool of $(pwd)\n", stderr: "" });
  });

  it("--collect writes files of the task here, and says which are not there", async () => {
    const into = mkdtempSync(join(scratch.path, "collected-"));
    const script = "echo one >/local/a; echo two >/alloc/data/b; chmod 600 /alloc/data/b; exit";
    const flags = ["--collect", "/local/a", "--collect", "/alloc/data/b:other"];
    const said = await start([...RUN, ...flags, "sh", "-c", `${script} 4`], { cwd: into }).ended;
    expect(said).toEqual({ code: 4, stdout: "", stderr: "" });
    expect(readFileSync(join(into, "a"), "utf8")).toBe("one\n");
    expect(readFileSync(join(into, "other"), "utf8")).toBe("two\n");
    expect(statSync(join(into, "other")).mode & 0o777).toBe(0o600);

    const more = ["--overwrite", "--collect-max", "2", "--collect", "/local/a", "--collect", "/local/none"];
    const partly = await start([...RUN, ...more, "sh", "-c", script], { cwd: into }).ended;
    expect(partly).toEqual({
      code: 125,
      stdout: "",
      stderr:
        "stockade: of '/local/a' only 2 of 4 bytes are collected; see --collect-max\n" +
        "stockade: '/local/none' is not collected: it is not there\n",
    });
    expect(readFileSync(join(into, "a"), "utf8")).toBe("on");
    const asked = ["--output", "json", "--overwrite", "--collect", "/local/a:./"];
    const { stdout } = await start([...RUN, ...asked, "sh", "-c", script], { cwd: into }).ended;
    const files = [{ path: "/local/a", mode: 0o644, sizeBytes: 4, truncated: false, writtenTo: "a" }];
    expect(JSON.parse(stdout)).toMatchObject({ exitCode: 0, files });
    expect(readdirSync(into).sort()).toEqual(["a", "other"]);
  });

  it("--collect goes through no link that is there, and replaces only what it is told to", async () => {
    const into = mkdtempSync(join(scratch.path, "links-"));
    writeFileSync(join(into, "precious"), "mine");
    symlinkSync(join(into, "precious"), join(into, "link"));
    symlinkSync(join(into, "absent"), join(into, "dangling"));
    for (const name of ["precious", "link", "dangling"]) {
      const refused = await start([...RUN, "--collect", `/local/x:${into}/${name}`, "echo", "ran"]).ended;
      expect(refused).toMatchObject({ code: 125, stdout: "" });
      expect(refused.stderr).toContain("--overwrite replaces it");
    }
    const flags = ["--overwrite", "--collect", `/local/x:${into}/link`];
    expect((await sh("echo new >/local/x", ...flags)).code).toBe(0);
    expect(readFileSync(join(into, "precious"), "utf8")).toBe("mine");
    expect(lstatSync(join(into, "link")).isFile()).toBe(true);
    expect(readFileSync(join(into, "link"), "utf8")).toBe("new\n");
    expect(readdirSync(into).sort()).toEqual(["dangling", "link", "precious"]);
  });

  it("as a table how it ended comes beside the output", async () => {
    const { code, stdout, stderr } = await sh("echo hi; exit 3", "--output", "table");
    expect({ code, stdout }).toEqual({ code: 3, stdout: "hi\n" });
    expect(stderr).toMatch(/^WHAT +IS\nreason +exited\nexit code +3\n/);
    expect(stderr).toMatch(/^duration +\d+\.\d{3} s$/m);
  });

  it("Ctrl-C asks the task, which may end as it likes", async () => {
    const program = start([
      ...RUN,
      "sh",
      "-c",
      "trap 'echo caught; exit 9' INT; echo on; while :; do sleep 0.05; done",
    ]);
    await program.says("on");
    program.child.kill("SIGINT");
    expect(await program.ended).toMatchObject({ code: 9, stdout: "on\ncaught\n" });
  });

  it("a second Ctrl-C kills a task that will not end", async () => {
    const program = start([
      ...RUN,
      "sh",
      "-c",
      "trap 'echo caught' INT; echo on; while :; do sleep 0.05; done",
    ]);
    await program.says("on");
    program.child.kill("SIGINT");
    await program.says("caught");
    program.child.kill("SIGINT");
    expect((await program.ended).code).toBe(137);
  });

  it("a third Ctrl-C ends the program, whatever the daemon does", async () => {
    const program = start([...RUN, "sh", "-c", "trap '' INT; echo on; while :; do sleep 0.05; done"]);
    await program.says("on");
    process.kill(daemon.pid, "SIGSTOP");
    try {
      for (let times = 0; times < 3; times++) {
        program.child.kill("SIGINT");
        await new Promise((done) => setTimeout(done, 100));
      }
      expect((await program.ended).code).toBe(130);
    } finally {
      process.kill(daemon.pid, "SIGCONT");
    }
    // Its connection has gone, and the task with it.
    while (daemon.leftovers().length > 0) await new Promise((done) => setTimeout(done, 10));
  });

  it("whoever stops reading ends it, without a word", async () => {
    const program = start([...RUN, "sh", "-c", "while :; do echo y; done"]);
    await program.says("y\n");
    program.child.stdout?.destroy();
    const { code, stderr } = await program.ended;
    expect({ code, stderr }).toEqual({ code: 141, stderr: "" });
  });

  it("what others have written comes to no terminal as it is, but a task's output", async () => {
    const refused = await stockade("\u001b[31mred\u0007");
    expect(refused.stderr).toContain("there is no verb '\\x1b[31mred\\x07'");
    const held = start([...RUN, "--label", "who=\u202eem", "sh", "-c", "echo on; exec sleep 1000"]);
    await held.says("on");
    expect((await stockade("ps")).stdout).toContain("who=\\u202eem");
    expect((await stockade("ps", "-o", "json")).stdout).toContain('"who": "\\u202eem"');
    await stockade("stop", "-t", "0", "task");
    expect((await held.ended).code).toBe(137);
  });
});

it.each([
  [["run", "-m", "lots", "true"], "limits.memory must be bytes"],
  [["run", "--cpus", "half", "true"], "--cpus takes a number"],
  [["run", "--timeout", "soon", "true"], "timeout must be"],
  [["run", "--timeout", "10", "true"], "as 1m30s: \"10\"; see 'stockade run --help'"],
  [["run", "--name", "a b", "true"], "(--alloc, or --name without it)"],
  [[...RUN, "-v", "/etc/passwd:/x", "true"], "SRC:DST:ro mounts it read-only"],
  [["run", "--network", "mine", "true"], "--network is none or host"],
  [["run", "-v", "/etc", "true"], "--volume takes SRC:DST"],
  [["run", "-e", "=x", "true"], "--env takes"],
  [["run", "--output", "yaml", "true"], "--output is json or table"],
  [["run", "--rm", "-d", "true"], "--rm does not go with --detach"],
  [["run", "--collect", "/local/x", "-d", "true"], "--collect does not go with --detach"],
  [["run", "-o", "json", "-d", "true"], "--output does not go with --detach"],
  [["run", "-it", "sh"], "a task has no terminal: -i alone"],
  [["run", "--collect", "x", "true"], "--collect takes TASKPATH"],
  [["run", "--collect", "/local/", "true"], "--collect takes TASKPATH"],
  [["run", "--collect", "/local/x:/no/such/y", "true"], "there is no directory '/no/such'"],
  [
    ["run", "--collect", "/local/x:/tmp", "--collect", "/alloc/x:/tmp/", "true"],
    "--collect has '/tmp/x' twice",
  ],
  [["run", "--collect", "/etc/x:/tmp", "true"], "does not lie below /local or /alloc"],
  [["run", "--collect", "/local/x:/tmp", "--collect-max", "2g", "true"], "max_bytes must be 1 to"],
  [["run", "--collect", "/local/x:/tmp", "--collect-max", "big", "true"], "must be bytes"],
  [["run", "--file", "x", "true"], "--file takes SRC:DST"],
  [["run", "--file", "/no/such:/local/x", "true"], "'/no/such' cannot be read"],
  [["run", "--file", "/tmp:/local/x", "true"], "'/tmp' cannot be read"],
  [["run", "--file", "/etc/passwd:/etc/x", "true"], "does not lie below /local"],
  [["run", "--no-such-flag", "true"], "unknown option '--no-such-flag'"],
  [["run"], "which command is to run?"],
  [["run", "--pids", "-1", "true"], "'--pids' argument is ambiguous; see"],
  [["fly"], "there is no verb 'fly'"],
  [["-H", "/run/stockade/stockaded.sock", "ps"], "an address is unix:<path> or <host>:<port>"],
  [["help", "fly"], "there is no verb 'fly'"],
  [["demo", "x"], "demo takes no arguments"],
  [["--fly", "ps"], "unknown option '--fly'"],
  [["ps", "x"], "ps takes no arguments"],
  [["ps", "-o", "xml"], "--output is json or table"],
  [["logs"], "which task is meant?"],
  [["logs", "-n", "x", "a"], "--tail takes a number"],
  [["logs", "-o", "yaml", "a"], "--output is json or table"],
  [["stop", "-o", "yaml", "a"], "--output is json or table"],
  [["rm", "-o", "yaml", "a"], "--output is json or table"],
  [["wait", "a", "b"], "one task at a time"],
  [["stop", "no-such-task"], "no task is called 'no-such-task'"],
  [["wait", "CGROUP:/stockade/01a2242e-0000-7000-8000-000000000000"], "'stockade ps -a' lists"],
  [["ps", "--alloc", "/x"], "; see 'stockade ps --help'"],
  [[...RUN, "-w", "/nowhere", "true"], "; correct the flag that asks for it (--workdir"],
])("%j is refused in one line, with 125", async (args, words) => {
  const { code, stdout, stderr } = await stockade(...args);
  expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
  expect(stderr).toContain(words);
  expect(stderr).toMatch(/^stockade: .*\n$/);
});

it("a daemon that is not there is named, with what to do", async () => {
  const { code, stderr } = await stockade("--host", `unix:${scratch.path}/none.sock`, "ps");
  expect(code).toBe(125);
  expect(stderr).toBe(
    `stockade: the daemon cannot be reached at unix:${scratch.path}/none.sock: is it running? start it with 'stockaded', or name another with --host\n`,
  );
});

it.each(["logs", "wait", "stop", "rm", "inspect"])(
  "%s of a full id on a daemon that is not there fails at once",
  async (verb) => {
    const id = "CGROUP:/stockade/01a2242e-0000-7000-8000-000000000000";
    const flags = verb === "logs" ? ["-f"] : [];
    const said = await stockade("--host", `unix:${scratch.path}/none.sock`, verb, ...flags, id);
    expect(said).toMatchObject({ code: 125, stdout: "" });
    expect(said.stderr).toContain("is it running?");
  },
);

it("each verb has its help", async () => {
  const { code, stdout } = await stockade("--help");
  expect(code).toBe(0);
  const verbs = [...stdout.matchAll(/^ {2}([a-z]+) {2}/gm)].map(([, verb]) => verb ?? "");
  expect(verbs).toEqual(["run", "ps", "logs", "wait", "stop", "inspect", "rm", "info", "demo"]);
  for (const verb of verbs) {
    const help = await stockade(verb, "--help");
    expect(help.code).toBe(0);
    expect(help.stdout).toMatch(new RegExp(`^usage: stockade ${verb}`));
    expect(help.stdout.includes("TASK is an id")).toBe(
      ["logs", "wait", "stop", "inspect", "rm"].includes(verb),
    );
    expect(await stockade("help", verb)).toEqual(help);
  }
});

it("help is asked for after other flags, and words, too, but for those of a command", async () => {
  expect((await stockade("logs", "web", "-h")).stdout).toMatch(/^usage: stockade logs/);
  expect((await stockade("run", "-m", "64m", "--help")).stdout).toMatch(/^usage: stockade run/);
  expect((await stockade("--host", "unix:/none", "--help")).stdout).toMatch(
    /^usage: stockade \[flags\] VERB/,
  );
});

it.each([[[]], [["-o", "json"]]])(
  "whoever stops reading logs -f %j ends it, without a word",
  async (flags) => {
    const begun = await sh("while :; do echo y; sleep 0.05; done", "-d", "--name", "talks");
    const program = start(["logs", "-f", ...flags, "talks"]);
    await program.says("y");
    program.child.stdout?.destroy();
    const { code, stderr } = await program.ended;
    expect({ code, stderr }).toEqual({ code: 141, stderr: "" });
    expect((await stockade("rm", "-f", begun.stdout.trim())).code).toBe(0);
  },
);

it("a task that was left is found, followed, waited for and removed", async () => {
  const script = "seq 20; while ! test -e /alloc/data/go; do sleep 0.05; done; echo gone; exit 4";
  const begun = await sh(script, "-d", "--name", "left", "--label", "who=me");
  const id = begun.stdout.trim();
  expect(begun).toEqual({ code: 0, stdout: `${id}\n`, stderr: "" });
  expect((await stockade("ps", "-q", "--label", "who=me")).stdout).toBe(`${id}\n`);
  expect((await stockade("ps", "-q", "--label", "who=you")).stdout).toBe("");
  const running = await stockade("inspect", "-o", "table", "left");
  expect(running.stdout).toMatch(
    /^state +running\nconfigured +20.*Z\nstarted +20.*Z\npid +[0-9]+\nlabel +who=me\n$/m,
  );
  const followed = stockade("logs", "-f", "left");
  expect((await stockade("rm", "left")).stderr).toContain("'stockade stop' ends it");
  expect((await stockade(...RUN, "--alloc", "left", "--rm", "touch", "/alloc/data/go")).code).toBe(0);
  expect(await stockade("wait", "left")).toEqual({ code: 4, stdout: "4\n", stderr: "" });
  expect(await followed).toEqual({
    code: 0,
    stdout: `${Array.from({ length: 20 }, (_, at) => `${at + 1}\n`).join("")}gone\n`,
    stderr: "",
  });
  expect((await stockade("logs", "-n", "2", "left")).stdout).toBe("20\ngone\n");
  expect((await stockade("ps", "-q")).stdout).toBe("");
  const listed = await stockade("ps", "-a");
  // No colour in a pipe.
  expect(listed.stdout).toMatch(/^TASK +ALLOC +NAME +STATE +CONFIGURED +LABELS\n/);
  expect(listed.stdout).toMatch(/ left +left +ended: exited \(4\) .* who=me\n/);
  const [task] = JSON.parse((await stockade("ps", "-a", "--alloc", "left", "-o", "json")).stdout) as {
    id: string;
  }[];
  expect(task?.id).toBe(id);
  const uuid = id.split("/").at(-1) ?? "";
  expect(JSON.parse((await stockade("wait", uuid, "--output", "json")).stdout)).toMatchObject({
    exitCode: 4,
  });
  expect((await stockade("wait", uuid, "-o", "table")).stdout).toMatch(/^exit code +4$/m);
  const inspected = await stockade("inspect", "-o", "table", uuid);
  expect(inspected.stdout).toMatch(
    /^state +ended\nconfigured +20.*Z\nlabel +who=me\nreason +exited\nexit code +4\n/m,
  );
  const asJson = JSON.parse((await stockade("inspect", uuid)).stdout) as unknown;
  if (isRoot()) {
    expect(asJson).toMatchObject([
      { exit: { usage: { cpuUser: expect.stringMatching(/^[0-9.]+s$/) as string } } },
    ]);
  }
  expect(await stockade("rm", uuid)).toEqual({ code: 0, stdout: `${id}\n`, stderr: "" });
  expect((await stockade("inspect", id)).code).toBe(125);
});

it("the beginning of an id is no task's where another's begins so, ended or not", async () => {
  const made: string[] = [];
  const uuids = (): string[] => made.map((id) => id.split(/[/:]/).at(-1) ?? "");
  // An id begins with the time, and its first 8 digits stay for a minute: of three tasks two have the same.
  for (const name of ["a", "b", "c"]) made.push((await sh("exit 0", "-d", "--name", name)).stdout.trim());
  for (const id of made) expect((await stockade("wait", id)).code).toBe(0);
  const begin = uuids()
    .map((uuid) => uuid.slice(0, 8))
    .find((start, at, all) => all.indexOf(start) < at);
  for (const verb of ["rm", "inspect", "logs"]) {
    const { code, stdout, stderr } = await stockade(verb, begin ?? "");
    expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
    expect(stderr).toMatch(
      /^stockade: the ids of [0-9]+ tasks begin with '.{8}'; 'stockade ps -a' has them whole\n$/,
    );
  }
  const [first = ""] = uuids();
  expect((await stockade("rm", first.slice(0, -4), ...made.slice(1))).code).toBe(0);
});

/** What each line of a program's output says. */
function documents({ stdout }: Said): unknown[] {
  return Buffer.from(stdout, "latin1")
    .toString()
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown);
}

describe("logs --output", () => {
  it("json has an event on each line, with its offset, and bytes that are no text exactly", async () => {
    // The first two bytes of a character come in another chunk than the third.
    const script =
      "printf 'a\\342\\202'; while ! test -e /alloc/data/go; do sleep 0.05; done; " +
      "printf '\\254\\nb\\377'; printf 'e\\033' >&2; exit 3";
    const id = (await sh(script, "-d", "--name", "json")).stdout.trim();
    const following = start(["logs", "-f", "-o", "json", id]);
    await following.says('"data":"a"');
    expect((await stockade(...RUN, "--alloc", "json", "--rm", "touch", "/alloc/data/go")).code).toBe(0);
    const followed = documents(await following.ended) as {
      readonly kind: string;
      readonly stream?: string;
    }[];
    expect(followed.filter(({ stream }) => stream === "stdout")).toEqual([
      { kind: "chunk", stream: "stdout", offset: "0", data: "a" },
      {
        kind: "chunk",
        stream: "stdout",
        offset: "1",
        data: "\u20ac\nb\ufffd",
        base64: Buffer.from([0xe2, 0x82, 0xac, 0x0a, 0x62, 0xff]).toString("base64"),
      },
    ]);
    expect(followed.filter(({ stream }) => stream === "stderr")).toEqual([
      { kind: "chunk", stream: "stderr", offset: "0", data: "e\u001b" },
    ]);
    const exit: unknown = JSON.parse((await stockade("wait", "-o", "json", id)).stdout);
    expect(followed.at(-1)).toEqual({ kind: "exit", exit });
    const last = await stockade("logs", "--tail", "1", "--stderr", "-o", "json", id);
    expect(documents(last)).toEqual([
      { kind: "chunk", stream: "stderr", offset: "0", data: "e\u001b" },
      { kind: "exit", exit },
    ]);
  });

  it("table has how it ended beside the output", async () => {
    const id = (await sh("echo hi; exit 3", "-d")).stdout.trim();
    const { code, stdout, stderr } = await stockade("logs", "-f", "-o", "table", id);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "hi\n" });
    expect(stderr).toMatch(/^WHAT +IS\nreason +exited\nexit code +3\n/);
  });
});

describe("stop and rm --output", () => {
  async function sleepers(names: readonly string[]): Promise<string[]> {
    const begun = names.map((name) => stockade(...RUN, "-d", "--name", name, "sleep", "1000"));
    return (await Promise.all(begun)).map(({ stdout }) => stdout.trim());
  }

  it("json has a line for each task, also where the next one fails", async () => {
    const [first, second] = await sleepers(["first", "second"]);
    expect(documents(await stockade("stop", "-o", "json", "first"))).toMatchObject([
      { id: first, reason: "SIGNALED", signal: "SIGTERM" },
    ]);
    const removed = await stockade("rm", "-o", "json", "first", "second");
    expect(removed).toMatchObject({ code: 125, stderr: expect.stringContaining("'stockade stop' ends it") });
    expect(documents(removed)).toEqual([{ id: first }]);
    expect(documents(await stockade("rm", "-f", "-o", "json", "second"))).toEqual([{ id: second }]);
  });

  it("table has a row for each", async () => {
    await sleepers(["first", "second"]);
    const stopped = await stockade("stop", "-o", "table", "--force", "first", "second");
    expect(stopped.stdout).toMatch(/^TASK +STATE\n(\S+ +ended: force_stopped \(137\)\n){2}$/);
    const removed = await stockade("rm", "-o", "table", "first", "second");
    expect(removed.stdout).toMatch(/^TASK +STATE\n(\S+ +removed\n){2}$/);
  });
});

it.each([
  ["a terminal", {}, "\u001b[1mWHAT   "],
  ["a terminal whose reader wants none", { NO_COLOR: "1" }, "WHAT   "],
])("colour comes to %s", async (_name, env, begin) => {
  const surroundings = { ...process.env, STOCKADE_HOST: daemon.daemon.address, NO_COLOR: "", ...env };
  const terminal = spawn("script", ["-qec", `${STOCKADE} info`, "/dev/null"], { env: surroundings });
  let shown = "";
  terminal.stdout.on("data", (data: Buffer) => (shown += data.toString()));
  await once(terminal, "close");
  expect(shown.startsWith(begin)).toBe(true);
});

it("--rm leaves no record", async () => {
  expect((await sh("echo hi", "--rm", "--name", "gone")).stdout).toBe("hi\n");
  expect((await stockade("ps", "-a", "-q", "--alloc", "gone")).stdout).toBe("");
});

it("info tells of daemon and host, for people and for programs", async () => {
  const { stdout } = await stockade("info");
  expect(stdout).toMatch(/^version +\d+\.\d+\.\d+$/m);
  expect(stdout).toContain(daemon.daemon.address);
  expect(JSON.parse((await stockade("info", "--output", "json")).stdout)).toHaveProperty(
    "capabilities.kernelRelease",
  );
});
