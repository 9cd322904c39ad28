/** What clients keep secret, and what would steer a terminal, sent with all sorts of failures: neither comes out again. */
import { spawnSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";

import { Resources, StockadeError, type ConfigureFields, type RunRequest } from "../../src/client";
import { sha256 } from "../support/certificates";
import { SLEEPER, until } from "../support/daemon";
import { RemoteDaemon } from "../support/remote-daemon";
import { RunStream } from "../support/run-stream";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");

/** Sets a title, rings, returns, clears by C1, and turns the direction of what follows. */
const EVIL = "\x1b]0;owned\x07\r\x9b2J\u202e\u2066\u200f\u061c\u2028";
/** What of it is allowed in a label: no control characters. */
const TURNED = "\u202e\u2066\u200f\u061c\u2028\u{e0041}";
const RAW = /(?!\n)[\p{Cc}\p{Cf}\u2028\u2029]/u;

let secrets = 0;
const sent: string[] = [];

/** A value that is nowhere else. */
function canary(more = ""): string {
  const value = `canary-${process.pid}-${secrets++}`;
  sent.push(value);
  return `${value}${more}`;
}

let daemon: RemoteDaemon;
const TOKEN = canary();
const REVOKED = canary();

beforeAll(async () => {
  daemon = await RemoteDaemon.start({
    access: [
      { name: "one", role: "run", token_sha256: sha256(TOKEN) },
      { name: "two", role: "run", token_sha256: sha256(REVOKED) },
    ],
    config: { end_tasks_on_stop: false },
  });
});

afterAll(async () => {
  await daemon?.test.endAll();
  await daemon?.[Symbol.asyncDispose]();
});

function expectClean(text: string): void {
  expect(text).not.toMatch(RAW);
  for (const secret of sent) expect(text).not.toContain(secret);
}

/** As a client has it: the message, what names the field, and the details for programs, which JSON keeps from a terminal. */
function expectCleanError(error: unknown, ...known: readonly string[]): void {
  if (!(error instanceof StockadeError)) throw new Error("the call succeeded", { cause: error });
  const { message, field = "", metadata } = error;
  expectClean(message);
  expectClean(field);
  const all = `${message} ${field} ${Object.values(metadata).join(" ")}`;
  for (const path of [daemon.test.daemon.directory, ...known]) expect(all).not.toContain(path);
  for (const secret of sent) expect(all).not.toContain(secret);
}

const caught = (call: Promise<unknown>): Promise<unknown> => call.catch((error: unknown) => error);

/** Secrets in each field that can hold one, and in which nothing is wrong. */
const secret = (): ConfigureFields => ({
  ...SLEEPER,
  args: [canary(), canary(EVIL)],
  env: { SECRET: canary(), EVIL: canary(EVIL) },
  meta: { secret: canary(EVIL) },
  labels: { secret: canary(TURNED) },
  requestId: canary(),
});

const LATE = `/${EVIL}`;

const CONFIGURES: readonly (readonly [what: string, fields: () => ConfigureFields])[] = [
  ["a command that is not there", () => ({ command: `${LATE}/none` })],
  [
    "a command that PATH does not have",
    () => ({ command: EVIL, env: { PATH: `/${EVIL}:/bin`, SECRET: canary() } }),
  ],
  ["an argument with a NUL", () => ({ args: [canary("\0")] })],
  ["a command_line that does not end", () => ({ command: "", args: [], commandLine: `sh '${canary(EVIL)}` })],
  ["a value in env with a NUL", () => ({ env: { A: canary("\0") } })],
  ["a name in env with =", () => ({ env: { [`${EVIL}=`]: canary() } })],
  ["a work_dir that is not there", () => ({ workDir: `/local${LATE}` })],
  ["a work_dir that leads up", () => ({ workDir: `${LATE}/..` })],
  ["an unknown user", () => ({ user: EVIL })],
  ["an unknown group", () => ({ group: EVIL })],
  ["an unknown supplementary group", () => ({ supplementaryGroups: [EVIL] })],
  ["a chroot source that is not allowed", () => ({ chroot: { [LATE]: "/x" } })],
  ["a chroot target that is reserved", () => ({ chroot: { "/bin": `/proc${LATE}` } })],
  ["a mount that is not allowed", () => ({ mounts: [{ source: LATE, target: LATE, readOnly: true }] })],
  ["a mount that cannot be", () => ({ mounts: [{ source: "/etc", target: `/bin${LATE}`, readOnly: true }] })],
  ["a port's label", () => ({ ports: { [EVIL]: 1 } })],
  ["a meta key", () => ({ meta: { [EVIL]: canary() } })],
  ["a meta value with a NUL", () => ({ meta: { a: canary("\0") } })],
  ["a label's key", () => ({ labels: { [EVIL]: canary() } })],
  ["a label's value", () => ({ labels: { a: canary(EVIL) } })],
  ["a label's value that is too long", () => ({ labels: { a: canary("x".repeat(300)) } })],
  ["a request_id", () => ({ requestId: canary(EVIL) })],
  ["an alloc_id", () => ({ allocId: EVIL })],
  ["a task_name", () => ({ taskName: EVIL })],
  ["an ip", () => ({ ip: EVIL })],
];

it.each(CONFIGURES)("Run's errors tell nothing: %s", async (_what, fields) => {
  const stdin = Buffer.from(canary());
  const files = [{ path: "/local/secret", content: Buffer.from(canary()), mode: 0 }];
  using run = new RunStream(daemon.test, { ...secret(), ...fields() }, { stdin, files });
  expectCleanError(await run.ended);
});

const RUNS: readonly (readonly [what: string, rest: () => Partial<RunRequest>])[] = [
  ["a file's path", () => ({ files: [{ path: LATE, content: Buffer.from(canary()), mode: 0 }] })],
  [
    "a file below a file",
    () => ({
      files: [
        { path: `/local${LATE}`, content: Buffer.from(canary()), mode: 0 },
        { path: `/local${LATE}/x`, content: Buffer.from(canary()), mode: 0 },
      ],
    }),
  ],
  [
    "a file whose place the daemon cannot make",
    () => ({
      files: [{ path: `/alloc/tmp/taken/${canary(EVIL)}`, content: Buffer.from(canary()), mode: 0 }],
    }),
  ],
  ["a path to collect", () => ({ collect: [{ path: LATE, maxBytes: 1n }] })],
  ["a list of CPUs", () => ({ resources: Resources.fromPartial({ cpusetCpus: EVIL }) })],
];

it.each(RUNS)("Run's own fields tell nothing: %s", async (_what, rest) => {
  const alloc = daemon.test.allocDir("taken");
  const { id } = await daemon.test.run("true", { allocId: "taken" });
  writeFileSync(join(alloc, "alloc/tmp/taken"), "");
  using run = new RunStream(
    daemon.test,
    { ...secret(), allocId: "taken" },
    { stdin: Buffer.from(canary()), ...rest() },
  );
  expectCleanError(await run.ended);
  await daemon.test.client.delete(id);
});

it("nor do those of other calls, whatever they are asked for", async () => {
  const { client } = daemon.test;
  const id = await daemon.test.configure(secret());
  const ids = [EVIL, `CGROUP:${LATE}`, `PID:1:${EVIL}`, canary()];
  for (const wrong of ids) {
    const calls = [client.get(wrong), client.wait(wrong), client.delete(wrong), client.open({ id: wrong })];
    for (const call of [...calls, client.logs(wrong).next()]) expectCleanError(await caught(call));
  }
  for (const call of [
    client.list({ pageToken: canary(EVIL) }),
    client.list({ labels: { [EVIL]: canary() } }),
    client.list({ allocId: EVIL }),
    client.shutdown({ id, signal: EVIL }),
    client.limit({ id, resources: { cpusetCpus: EVIL } }),
    client.delete(id),
  ]) {
    expectCleanError(await caught(call));
  }
  await client.forceStop(id);
  expectCleanError(await caught(client.start(id)));
});

it("tokens and metadata are not repeated, to those who are refused or to others", async () => {
  const list = (token: string): Promise<unknown> => caught(daemon.client({ token }).list());
  expectCleanError(await list(canary()));
  expect(await list(REVOKED)).not.toBeInstanceOf(Error);
  daemon.configure([{ name: "one", role: "run", token_sha256: sha256(TOKEN) }], { end_tasks_on_stop: false });
  await daemon.reload();
  expectCleanError(await list(REVOKED));
  expectCleanError(await caught(daemon.client({ token: TOKEN }).get(EVIL)));
  const raw = new Client(daemon.test.daemon.address, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("x-secret", canary());
  metadata.set("x-secret-bin", Buffer.from(canary(EVIL)));
  const pass = (bytes: Buffer): Buffer => bytes;
  for (const method of ["Get", "Run", `No/${canary()}`]) {
    const path = `/executor.v1.ExecutorService/${method}`;
    const call = raw.makeServerStreamRequest(path, pass, pass, Buffer.of(0x0a, 0x02, 0x1b, 0x07), metadata);
    const error = await new Promise<ServiceError>((told) =>
      call.on("error", told as (error: Error) => void).resume(),
    );
    // A method that is not there is named by who has asked for it.
    expectClean(method.startsWith("No/") ? error.details.replace(method, "") : error.details);
  }
  raw.close();
});

it("a reload that fails tells nothing of the tokens in the file", async () => {
  daemon.write(`{ "access": [{ "token": "${canary()}", ${EVIL}`);
  await daemon.reload();
  daemon.write(JSON.stringify({ access: [{ name: "one", role: "run", token: canary(EVIL) }] }));
  await daemon.reload();
});

it("failures of the daemon's own tell the client nothing, and the log no secret", async () => {
  const { test } = daemon;
  const { id } = await test.run("true", { ...secret(), command: "/bin/sh" });
  const log = join(test.recordDir(id), "log/stdout");
  renameSync(log, `${log}.away`);
  mkdirSync(log);
  expectCleanError(await caught(test.client.logs(id).next()));
  await until(() => test.logged.includes("internal error"));
  rmSync(log, { recursive: true });
  const allocId = canary();
  writeFileSync(test.allocDir(allocId), "");
  expectCleanError(
    await caught(test.client.configure({ ...secret(), allocId, taskName: "none", allowUnenforced: true })),
  );
  await until(() => test.logged.includes("ENOTDIR"));
  rmSync(test.allocDir(allocId));
  const running = await test.started(secret());
  process.kill(test.launcher, "SIGKILL");
  await until(() => test.logged.includes("the launcher has gone"));
  await test.client.forceStop(running.id);
  const broken = await test.run("true", { ...secret(), command: "/bin/sh" });
  await test.end("SIGKILL");
  const record = join(test.recordDir(broken.id), "record");
  writeFileSync(record, `${canary(EVIL)}\n`);
  daemon.configure([{ name: "one", role: "run", token_sha256: sha256(TOKEN) }], { end_tasks_on_stop: false });
  await test.startAgain();
  expect(test.logged).toContain("set aside");
});

it("nothing of all that has come to the daemon's log", () => {
  const lines = daemon.test.logged.split("\n");
  expect(lines.length).toBeGreaterThan(5);
  for (const line of lines) {
    expectClean(line);
    for (const name of ["alloc", "state"]) {
      expect(line).not.toContain(join(daemon.test.daemon.directory, name));
    }
  }
});

describe("the command line", () => {
  /** What it prints of the daemon; output of tasks goes through as it is, and there is none. */
  function stockade(...argv: readonly string[]): { readonly status: number | null; readonly said: string } {
    const env = { ...process.env, STOCKADE_HOST: daemon.test.daemon.address };
    const { status, stdout, stderr } = spawnSync(STOCKADE, argv, { env, encoding: "utf8" });
    return { status, said: stdout + stderr };
  }

  beforeAll(async () => {
    await daemon.test.run("true", { labels: { turned: `shown${TURNED}` } });
  });

  it.each([
    [["ps", "-a"], 0],
    [["ps", "-a", "--output", "json"], 0],
    [["info"], 0],
    [["inspect", EVIL], 125],
    [["wait", EVIL], 125],
    [["logs", EVIL], 125],
    [["rm", EVIL], 125],
    [["stop", EVIL], 125],
    [["run", "--name", EVIL, "true"], 125],
    [["run", "--user", EVIL, "true"], 125],
    [["run", "--label", `${EVIL}=x`, "true"], 125],
    [["run", "--allow-unenforced", `${LATE}/none`], 127],
    [["run", `--${EVIL}`], 125],
    [["--host", `unix:/none${LATE}`, "ps"], 125],
    [[EVIL], 125],
  ])("%j shows nothing raw", (argv, status) => {
    const told = stockade(...argv);
    expect(told.said).not.toMatch(RAW);
    expect(told.said).not.toBe("");
    expect(told.status).toBe(status);
  });

  it("shows a label, with what would turn it as escapes", () => {
    const { said } = stockade("ps", "-a", "--output", "json");
    expect(said).toContain("shown\\u202e");
    const [task] = (JSON.parse(said) as { labels?: Record<string, string> }[]).filter(
      ({ labels }) => labels?.["turned"],
    );
    expect(task?.labels?.["turned"]).toBe(`shown${TURNED}`);
  });
});
