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
import { descendants } from "../support/daemon";
import { itRequires } from "../support/requires";
import { Scratch } from "../support/task-files";

const ERRNO = "EIO";
const LONG_MS = 600_000;

/** They have no way to fail, or nobody asks whether they have. */
const NEVER_FAIL = ["close", "exit_group", "getegid", "geteuid", "setitimer", "umask"];

let scratch: Scratch;
let program: string;
let fixture: TestLauncher;
let injector: Injector;
let allocs = 0;

beforeAll(() => {
  scratch = new Scratch();
  program = compileInjector(scratch.path);
});

afterAll(() => scratch[Symbol.dispose]());

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
  const calls = await injector.report();
  return calls.filter((call) => call.role === role && !NEVER_FAIL.includes(call.name));
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
    }
    expect([...named].sort()).toEqual(["COPY_COLLECTED", "OPEN_COLLECTED"]);
    // The group of a task gives its copy no more rights; what is taken out of the way is, as a rule, not there.
    expect(passedOver).toEqual(["setfsgid", "unlinkat"]);
  },
  LONG_MS,
);
