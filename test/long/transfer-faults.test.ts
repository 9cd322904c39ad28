/**
 * Every system call by which the helper writes a request's files, gives its stdin and collects a file, failing once:
 * what is told of it, and that nothing is left of it.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

import { HelperFault, type SandboxSpec, type StepFault } from "../../src/tasks/ports";
import { HELPER_STEPS, type HelperStep } from "../../src/tasks/helper-step";
import { shell, TestLauncher } from "../host/helper/support";
import { compileInjector, Injector, type Call, type Role } from "../support/injector";
import { descendants, TestDaemon } from "../support/daemon";
import { exited } from "../support/exits";
import { expectNothingLeftSoon } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { RunStream } from "../support/run-stream";
import { Scratch } from "../support/task-files";

const ERRNO = "EIO";
const LONG_MS = 600_000;

/** They have no way to fail, or nobody asks whether they have; of whom, and how often each is made, where that is known. */
const NEVER_FAIL: readonly { readonly role: Role; readonly call: string; readonly count?: number }[] = [
  { role: "command", call: "brk" },
  { role: "command", call: "close" },
  { role: "command", call: "umask", count: 1 },
  { role: "worker", call: "brk" },
  { role: "worker", call: "close" },
  { role: "worker", call: "exit_group", count: 1 },
  { role: "worker", call: "getegid", count: 1 },
  { role: "worker", call: "geteuid", count: 1 },
  { role: "worker", call: "setitimer", count: 3 },
];

/**
 * What is read back is as it should be, or it is not: why it could not be read, or set, makes no difference. Who has not
 * got back the rights of the daemon cannot make the copy.
 */
function errnoOf(name: string, step: HelperStep): string {
  if (name.startsWith("setfs")) return step === "OPEN_COLLECTED" ? "EPERM" : "EACCES";
  return step === "VERIFY_CREDENTIALS" ? "EPERM" : ERRNO;
}

let scratch: Scratch;
let program: string;
let fixture: TestLauncher;
let injector: Injector;
let allocs = 0;
let injected = 0;

beforeAll(() => {
  scratch = new Scratch();
  program = compileInjector(scratch.path);
});

afterAll(() => {
  process.stdout.write(`transfer faults: ${injected} system calls that failed\n`);
  scratch[Symbol.dispose]();
});

beforeEach(async () => {
  fixture = await TestLauncher.start();
  injector = await Injector.attachTo(program, fixture.pid);
});

afterEach(async () => {
  await injector[Symbol.asyncDispose]();
  await fixture[Symbol.asyncDispose]();
});

/** Calls of that role that can fail, as they are made where none does. */
async function callsOf(role: Role, act: () => Promise<unknown>): Promise<readonly Call[]> {
  await injector.trace();
  await act();
  const calls = (await injector.report()).filter((call) => call.role === role);
  const never = NEVER_FAIL.filter((row) => row.role === role);
  for (const { call, count } of never) {
    if (count !== undefined)
      expect([call, calls.filter(({ name }) => name === call).length]).toEqual([call, count]);
  }
  return calls.filter(({ name }) => never.every(({ call }) => call !== name));
}

/** The fault of what is done while that call fails; undefined: it is done all the same. */
async function faultOf({ role, n, name }: Call, act: () => Promise<unknown>): Promise<StepFault | undefined> {
  await injector.arm({ role, n, when: "before", answer: ERRNO });
  const fault = await act().then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof HelperFault) return error.fault;
      throw error;
    },
  );
  const met = (await injector.report()).find((call) => call.role === role && call.n === n);
  expect(`${n}: ${met?.name}`).toBe(`${n}: ${name}`);
  expect(descendants(fixture.pid)).toEqual([]);
  injected++;
  if (fault !== undefined) expect([name, fault]).toMatchObject([name, { errno: errnoOf(name, fault.step) }]);
  return fault;
}

async function make(changes: Partial<SandboxSpec>, script?: string): Promise<void> {
  const sandbox = await fixture.launcher.create(fixture.spec(changes), new AbortController().signal);
  if (script === undefined) sandbox.killInit();
  else await sandbox.start(shell(script));
  await sandbox.ended;
}

/** What is in a task's /local. */
function contents(allocId: string): string[] {
  const local = join(fixture.directory, "alloc", allocId, "task1/local");
  return readdirSync(local, { recursive: true, encoding: "utf8" })
    .filter((path) => !path.startsWith("task1.std"))
    .sort()
    .map((path) => {
      const status = statSync(join(local, path));
      return `${path} ${status.isFile() ? readFileSync(join(local, path), "utf8") : "/"}`;
    });
}

function bringing(allocId: string): Partial<SandboxSpec> {
  const file = (path: string): SandboxSpec["files"][number] => ({
    path,
    mode: 0o600,
    content: Buffer.from("new"),
  });
  const files = [file("/local/first"), file("/local/made/deep/second")];
  return { allocId, files, stdin: Buffer.from("input") };
}

itRequires(
  ["root", "ptrace"],
  "writes all of the files of a request, or none",
  async () => {
    const earlier = async (): Promise<string> => {
      const allocId = `alloc${allocs++}`;
      await make({ allocId }, "echo old >first");
      return allocId;
    };
    const traced = bringing(await earlier());
    const calls = await callsOf("command", () => make(traced));
    const named = new Set<HelperStep>();
    const passedOver: string[] = [];
    for (const call of calls) {
      // The wait for START is not over when the task is ended.
      if (call.result === undefined) continue;
      const allocId = await earlier();
      const fault = await faultOf(call, () => make(bringing(allocId)));
      if (fault === undefined) {
        passedOver.push(call.name);
        continue;
      }
      named.add(fault.step);
      if (HELPER_STEPS.indexOf(fault.step) <= HELPER_STEPS.indexOf("PLACE_FILES") && fault.index === 0) {
        expect([call, fault, contents(allocId)]).toEqual([call, fault, ["first old\n"]]);
      }
      expect(contents(allocId).filter((path) => path.includes(".stockade"))).toEqual([]);
      await make(bringing(allocId), "true");
      expect(contents(allocId)).toEqual(["first new", "made /", "made/deep /", "made/deep/second new"]);
    }
    expect([...named]).toEqual(expect.arrayContaining(["SET_STDIO", "WRITE_FILES", "PLACE_FILES"]));
    // What is taken out of the way is, as a rule, not there.
    expect(passedOver).toEqual(["unlinkat", "unlinkat"]);
  },
  LONG_MS,
);

itRequires(
  ["root", "ptrace"],
  "says at which step a file was not collected, and leaves nothing of the copy",
  async () => {
    await make({}, "echo out >out");
    const into = join(fixture.directory, "copy");
    const collect = (): Promise<unknown> =>
      fixture.launcher.collect({
        allocId: "alloc1",
        taskName: "task1",
        path: "/local/out",
        maxBytes: 9n,
        into,
      });
    const calls = await callsOf("worker", collect);
    rmSync(into);
    const named = new Set<HelperStep>();
    const passedOver: string[] = [];
    for (const call of calls) {
      const fault = await faultOf(call, collect);
      if (fault === undefined) {
        passedOver.push(call.name);
        rmSync(into);
        continue;
      }
      named.add(fault.step);
      // A worker that cannot say what it has done has done it.
      if (call.name === "write") rmSync(into);
      expect([call, existsSync(into)]).toEqual([call, false]);
      await collect();
      expect(readFileSync(into, "utf8")).toBe("out\n");
      rmSync(into);
    }
    expect([...named].sort()).toEqual(["COPY_COLLECTED", "OPEN_COLLECTED"]);
    // The group of a task gives its copy no more rights; what is taken out of the way is, as a rule, not there.
    expect(passedOver).toEqual(["setfsgid", "unlinkat"]);
  },
  LONG_MS,
);

/** A daemon, of whose helper calls can be made to fail. */
async function withDaemon(act: (daemon: TestDaemon, beside: Injector) => Promise<void>): Promise<void> {
  await using daemon = await TestDaemon.start();
  await using beside = await Injector.attach(program, daemon.pid);
  await act(daemon, beside);
  await expectNothingLeftSoon(daemon);
  using next = runIn(daemon);
  expect(await next.ended).toBeUndefined();
  expect([next.exit, fileOf(next)]).toMatchObject([exited(0), { data: "brought" }]);
}

/** Of a task that is brought a file, and of which one is collected. */
function runIn(daemon: TestDaemon): RunStream {
  return new RunStream(
    daemon,
    { command: "/bin/sh", args: ["-c", "cat first >out"] },
    {
      files: [{ path: "/local/first", content: Buffer.from("brought"), mode: 0 }],
      collect: [{ path: "/local/out", maxBytes: 100n }],
    },
  );
}

function fileOf(run: RunStream): { readonly error: string | undefined; readonly data: string } {
  const error = run.events.flatMap((event) => (event.$case === "file" ? [event.value.error] : []));
  const data = run.events.flatMap((event) => (event.$case === "fileData" ? [event.value.toString()] : []));
  return { error: error[0], data: data.join("") };
}

/** A Run of which the last call of that name fails, to its end. */
async function failing(daemon: TestDaemon, beside: Injector, role: Role, name: string): Promise<RunStream> {
  await beside.trace();
  using whole = runIn(daemon);
  expect(await whole.ended).toBeUndefined();
  const call = (await beside.report()).findLast((one) => one.role === role && one.name === name);
  if (call === undefined) throw new Error(`no ${role} makes ${name}`);
  await beside.arm({ role, n: call.n, when: "before", answer: ERRNO });
  const run = runIn(daemon);
  await run.ended;
  const met = (await beside.report()).find((one) => one.role === role && one.n === call.n);
  expect(met?.name).toBe(name);
  injected++;
  return run;
}

for (const [step, name] of [
  ["WRITE_FILES", "fchmod"],
  ["PLACE_FILES", "renameat"],
] as const) {
  itRequires(["root", "ptrace"], `Run answers that ${step} has failed, and why`, () =>
    withDaemon(async (daemon, beside) => {
      using run = await failing(daemon, beside, "command", name);
      expect(await run.ended).toMatchObject({
        code: "FAILED_PRECONDITION",
        reason: "SANDBOX_FAILED",
        metadata: { stage: step.toLowerCase(), errno: ERRNO },
      });
      expect(run.events).toEqual([]);
    }),
  );
}

for (const [step, name] of [
  ["OPEN_COLLECTED", "capset"],
  ["COPY_COLLECTED", "copy_file_range"],
] as const) {
  itRequires(["root", "ptrace"], `Run says of the file, and of nothing else, that ${step} has failed`, () =>
    withDaemon(async (daemon, beside) => {
      using run = await failing(daemon, beside, "worker", name);
      expect(await run.ended).toBeUndefined();
      expect(run.exit).toMatchObject(exited(0));
      expect(fileOf(run)).toEqual({ error: ERRNO, data: "" });
    }),
  );
}
