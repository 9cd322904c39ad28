/**
 * Every system call by which the helper makes a task, failing once: what the client is told, what is left, and
 * whether the next task works. The calls are those of a trace of the same task, so that none is forgotten: each
 * belongs to a step, or is named below with the reason why its failure is passed over.
 */
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ChrootMethod, NetworkMode, StockadeError, type ConfigureFields } from "../../src/client";
import { HELPER_STEPS, type HelperStep } from "../../src/tasks/helper-step";
import { PROGRAM, SLEEPER, TestDaemon, until } from "../support/daemon";
import {
  compileInjector,
  Injector,
  type Call,
  type Errno,
  type Injection,
  type Role,
} from "../support/injector";
import { expectNothingLeftSoon } from "../support/leftovers";
import { HOST, itRequires, SLOW } from "../support/requires";
import { entries, records, Scratch } from "../support/task-files";

/** What no step takes for an answer. */
const ERRNO = "EIO";
/** After it, a call is said to hang. */
const PATIENCE_MS = 10_000 * SLOW;
const CYCLE_MS = 600_000;
/** Daemons that take turns at the calls of one cycle: much of a task's time is waiting. */
const LANES = 2;

/** They are made, and seem to fail: one frees its descriptor whatever it answers, the other waits for START. */
function isMade({ role, name }: Call): boolean {
  return name === "close" || (role === "command" && name === "recvfrom");
}

interface Passed {
  readonly role: Role;
  readonly call: string;
  /** Which of the role's calls of that name; absent: all. */
  readonly nth?: readonly number[];
  /** Only those after the role's first call of this name. */
  readonly after?: string;
  readonly why: string;
}

const CANNOT_FAIL = "it has no way to fail";

/** Which are not made to fail, and how often each is made in a cycle that has it, where that is known. */
const LET_BE: readonly (Passed & { readonly count?: number })[] = [
  { role: "init", call: "geteuid", count: 4, why: CANNOT_FAIL },
  { role: "init", call: "getegid", count: 2, why: CANNOT_FAIL },
  { role: "init", call: "futex", why: CANNOT_FAIL },
  { role: "command", call: "umask", count: 1, why: CANNOT_FAIL },
  { role: "worker", call: "geteuid", why: CANNOT_FAIL },
  { role: "worker", call: "exit_group", count: 1, why: CANNOT_FAIL },
  {
    role: "init",
    call: "brk",
    why: "the heap's own, made when its end is reached: without it there is mmap",
  },
  { role: "worker", call: "brk", why: "as init's" },
];

/** Whose failure is passed over: the task is made all the same, and is as contained. */
const PASSED_OVER: readonly Passed[] = [
  ...(["launcher", "init", "command", "guard", "worker"] as const).map((role) => ({
    role,
    call: "close",
    why: "the descriptor is free, whatever is answered",
  })),
  { role: "launcher", call: "epoll_pwait", why: "asked again" },
  { role: "launcher", call: "recvmsg", why: "asked again" },
  { role: "init", call: "ppoll", why: "asked again" },
  { role: "init", call: "recvfrom", nth: [2, 3], why: "asked again: poll tells of it until it is heard" },
  { role: "init", call: "prctl", nth: [1], why: "the name is for people" },
  { role: "guard", call: "close_range", why: "what it cannot close it holds as init does" },
  { role: "guard", call: "prctl", why: "the name is for people" },
  { role: "guard", call: "futex", why: "asked again" },
  { role: "guard", call: "ppoll", why: "asked again, a second later" },
  { role: "init", call: "unlinkat", after: "setns", why: "the log is where it is, without a link in /local" },
  { role: "init", call: "linkat", after: "setns", why: "the log is where it is, without a link in /local" },
  { role: "init", call: "pwrite64", nth: [2, 3], why: "the record is written again at the end" },
];

/** Without these two the daemon has no launcher: it makes another one, and says so. */
const FATAL: readonly Passed[] = [
  { role: "launcher", call: "recvfrom", why: "the daemon cannot be heard" },
  { role: "launcher", call: "sendto", nth: [1, 3], why: "the daemon cannot be told" },
];

/** What is read back is as it should be, or it is not: why it could not be read makes no difference. */
const OWN_ERRNO: Partial<Record<HelperStep, string>> = { VERIFY_CREDENTIALS: "EPERM", VERIFY_INIT: "EPERM" };

const WRITING = "test/long/transfer-faults.test.ts: writes all of the files of a request, or none";
const COLLECTING =
  "test/long/transfer-faults.test.ts: says at which step a file was not collected, and leaves nothing of the copy";

/** For each step, a system call that is its own: failing, it must name the step; or the file and title of another test. */
const OWN_CALLS: Record<HelperStep, readonly [Role, string] | { readonly provedBy: string }> = {
  READ_REQUEST: {
    provedBy:
      "test/long/faults.test.ts: a launcher that cannot hear or answer is replaced, and nothing is left",
  },
  OPEN_CGROUPS: ["launcher", "openat"],
  CREATE_CHANNELS: ["launcher", "memfd_create"],
  CLONE_INIT: ["launcher", "clone3"],
  CLOSE_INHERITED: ["init", "close_range"],
  MAP_IDS: ["init", "write"],
  NEW_SESSION: ["init", "setsid"],
  NEW_KEYRING: ["init", "keyctl"],
  TIE_TO_LAUNCHER: ["init", "prctl"],
  OPEN_RECORD: ["init", "pwrite64"],
  CREATE_PIPES: ["init", "pipe2"],
  SET_TIMER: ["init", "timerfd_create"],
  CLONE_COMMAND: ["init", "clone3"],
  JOIN_CGROUPS:
    // On v2 it is clone3 that joins the one cgroup.
    HOST.cgroups === "v2"
      ? { provedBy: "test/long/faults.test.ts: with a chroot of binds" }
      : ["command", "write"],
  UNSHARE_NET_NS: ["command", "unshare"],
  RAISE_LOOPBACK: ["command", "ioctl"],
  MAKE_PRIVATE: ["init", "mount"],
  MAKE_ALLOC_DIR: ["init", "mkdirat"],
  MAKE_TASK_DIR: ["init", "mkdirat"],
  EMBED_TREES: ["init", "linkat"],
  MOUNT_ROOT: ["init", "open_tree"],
  MOUNT_BINDS: ["init", "move_mount"],
  MOUNT_DIRS: ["init", "move_mount"],
  MOUNT_PROC: ["init", "fsopen"],
  MOUNT_DEV: ["init", "symlinkat"],
  MOUNT_TMP: ["init", "fsmount"],
  SEAL_ROOT: ["init", "mount_setattr"],
  PIVOT_ROOT: ["init", "pivot_root"],
  GIVE_LOCAL: ["init", "fchown"],
  ENTER_ROOT: ["command", "recvfrom"],
  LEAVE_HOST: ["init", "umount2"],
  SET_HOSTNAME: ["init", "sethostname"],
  VERIFY_CGROUPS: ["command", "read"],
  UNSHARE_CGROUP_NS: ["command", "unshare"],
  RESET_PROCESS: ["command", "rt_sigprocmask"],
  SET_STDIO: ["command", "dup3"],
  SET_CREDENTIALS: ["command", "setresuid"],
  DROP_CAPABILITIES: ["command", "capset"],
  VERIFY_CREDENTIALS: ["command", "capget"],
  WRITE_FILES: { provedBy: WRITING },
  ENTER_WORK_DIR: ["command", "chdir"],
  PLACE_FILES: { provedBy: WRITING },
  AWAIT_COMMAND: ["init", "recvfrom"],
  JOIN_NET_NS: ["init", "setns"],
  // Its calls are passed over: it never fails a task.
  LINK_LOGS: { provedBy: "test/long/faults.test.ts: with a chroot of binds" },
  DROP_INIT_PRIVILEGES: ["init", "chroot"],
  VERIFY_INIT: ["init", "capget"],
  CLONE_GUARD: ["init", "clone"],
  REPORT_READY: ["init", "sendmsg"],
  READ_START: ["command", "mmap"],
  FIND_COMMAND: ["command", "execve"],
  FIND_INTERPRETER: ["command", "execve"],
  EXEC: ["command", "execve"],
  REMOVE_TREES: ["worker", "unlinkat"],
  OPEN_COLLECTED: { provedBy: COLLECTING },
  COPY_COLLECTED: { provedBy: COLLECTING },
};

/** A task, as a test of this file makes it over and over. */
interface Cycle {
  readonly config?: Record<string, unknown>;
  readonly program?: string;
  readonly request: ConfigureFields;
}

/** With every call that a task's limits of time take. */
const LIMITED: ConfigureFields = {
  ...SLEEPER,
  timeout: { seconds: 3600n, nanos: 0 },
  cpuTimeLimit: HOST.user === "root" ? { seconds: 3600n, nanos: 0 } : undefined,
};

/** What became of a task. */
type Outcome =
  | { readonly kind: "works"; readonly shape: readonly string[] }
  | { readonly kind: "refused"; readonly by: "Configure" | "Start"; readonly error: StockadeError };

/** How many system calls have been made to fail. */
let injected = 0;

/** `<role> <call>`s that named the step. */
const namedBy = new Map<string, Set<string>>();

let scratch: Scratch;
let shm: string;
let injectorProgram: string;

beforeAll(() => {
  scratch = new Scratch();
  shm = mkdtempSync("/dev/shm/stockade-faults-");
  injectorProgram = compileInjector(scratch.path);
});

afterAll(() => {
  scratch[Symbol.dispose]();
  rmSync(shm, { recursive: true, force: true });
});

class Bench implements AsyncDisposable {
  private constructor(
    readonly daemon: TestDaemon,
    readonly injector: Injector,
    private readonly request: ConfigureFields,
    private readonly descriptors: number,
  ) {}

  static async start({ config, program, request }: Cycle): Promise<Bench> {
    const daemon = await TestDaemon.start(config, program);
    // The launcher has its memory, and the next alloc its directories, before anything is counted.
    await runNext(daemon, request);
    await runNext(daemon, request);
    const injector = await Injector.attach(injectorProgram, daemon.pid);
    return new Bench(daemon, injector, request, daemon.descriptors());
  }

  /** The calls from the request to the program's first instruction, or of the workers behind it. */
  async trace(): Promise<readonly Call[]> {
    await this.injector.trace();
    const outcome = await this.attempt(this.daemon.freshName());
    expect(outcome).toMatchObject({ kind: "works" });
    return inScope(await this.injector.report());
  }

  /** What becomes of a task of which one call fails; that it leaves nothing, and the next one works. */
  async failOnce(
    call: Call,
    injection: Omit<Injection, "role" | "n">,
    name = this.daemon.freshName(),
  ): Promise<Outcome> {
    const before = records(this.daemon);
    injected++;
    await this.injector.arm({ role: call.role, n: call.n, ...injection });
    const outcome = await this.attempt(name);
    const met = (await this.injector.report()).find(({ role, n }) => role === call.role && n === call.n);
    expect(`${call.n}: ${met?.name}`).toBe(`${call.n}: ${call.name}`);
    await this.checkAfter(name, outcome, before);
    return outcome;
  }

  async attempt(name: string): Promise<Outcome> {
    const { client } = this.daemon;
    const inTime = { timeoutMs: PATIENCE_MS };
    let by: "Configure" | "Start" = "Configure";
    try {
      const { id } = await client.configure({ ...this.request, allocId: name, taskName: name }, inTime);
      by = "Start";
      const { pid } = await client.start(id, inTime);
      const shape = shapeOf(pid, id, this.daemon.cgroupRoot);
      await client.forceStop(id, inTime);
      return { kind: "works", shape };
    } catch (error) {
      if (!(error instanceof StockadeError)) throw error;
      return { kind: "refused", by, error };
    }
  }

  /** Nothing of the task is left, but its record if it was configured; the next one works. */
  async checkAfter(name: string, outcome: Outcome, before: readonly string[]): Promise<void> {
    const { daemon } = this;
    await expectNothingLeftSoon(daemon);
    if (outcome.kind === "refused" && outcome.by === "Configure") {
      expect(entries(daemon, name)).toEqual([]);
      expect(records(daemon).filter((record) => !before.includes(record))).toEqual([]);
    }
    if (outcome.kind === "refused") await runNext(daemon, this.request);
    await until(() => daemon.descriptors() <= this.descriptors);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.injector[Symbol.asyncDispose]();
    await this.daemon[Symbol.asyncDispose]();
  }
}

async function runNext(daemon: TestDaemon, request: ConfigureFields): Promise<void> {
  const id = await daemon.configure({ ...request, allocId: "next", taskName: "next" });
  await daemon.client.start(id);
  const { exit } = await daemon.client.forceStop(id);
  expect(exit?.status).toEqual({ $case: "signal", value: 9 });
}

/** Launcher, init and its guard live on: what they do after the start is no longer about making the task. */
function inScope(calls: readonly Call[]): readonly Call[] {
  const lastOf = (role: Role, call: string, nth: number): number =>
    calls.filter(({ role: by, name }) => by === role && name === call)[nth - 1]?.n ?? 0;
  const last: Partial<Record<Role, number>> = {
    launcher: lastOf("launcher", "sendto", 3),
    init: lastOf("init", "sendto", 3),
    guard: lastOf("guard", "ppoll", 1),
  };
  return calls.filter(({ role, n }) => n <= (last[role] ?? Infinity));
}

function isAmong(rows: readonly Passed[], call: Call, calls: readonly Call[]): boolean {
  const alike = calls.filter(({ role, name }) => role === call.role && name === call.name);
  const nth = alike.findIndex(({ n }) => n === call.n) + 1;
  const isAfter = (name: string): boolean =>
    call.n > (calls.find((other) => other.role === call.role && other.name === name)?.n ?? Infinity);
  return rows.some(
    (row) =>
      row.role === call.role &&
      row.call === call.name &&
      (row.nth === undefined || row.nth.includes(nth)) &&
      (row.after === undefined || isAfter(row.after)),
  );
}

function canFail({ role, name }: Call): boolean {
  return !LET_BE.some((row) => row.role === role && row.call === name);
}

/** Of the calls that are let be those that are more, or fewer, than known. */
function miscounted(calls: readonly Call[]): string[] {
  return LET_BE.flatMap(({ role, call, count }) => {
    const made = calls.filter((one) => one.role === role && one.name === call).length;
    return count === undefined || made === 0 || made === count
      ? []
      : [`${role} ${call} is made ${made} times`];
  });
}

function whenOf(call: Call): "before" | "after" {
  return isMade(call) ? "after" : "before";
}

/** How a task is contained, as the kernel shows it: the same for each task of one cycle. */
function shapeOf(pid: number, id: string, cgroupRoot: string): readonly string[] {
  const uuid = id.split(/[/:]/).at(-1) ?? "";
  const read = (file: string): string[] => readFileSync(`/proc/${pid}/${file}`, "utf8").split("\n");
  const ns = readdirSync(`/proc/${pid}/ns`).map((name) => {
    const shared = readlinkSync(`/proc/${pid}/ns/${name}`) === readlinkSync(`/proc/self/ns/${name}`);
    return `${name} ${shared ? "the host's" : "its own"}`;
  });
  const mounts = read("mountinfo")
    .map((line) => line.split(" "))
    .map((fields) => [fields[4], fields[5], ...fields.slice(fields.indexOf("-") + 1)].join(" "));
  const parent = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return [
    ...statusOf(pid),
    ...statusOf(parent),
    ...ns,
    ...mounts,
    ...read("limits"),
    ...read("cgroup").map((line) => line.replace(uuid, "<uuid>").replace(cgroupRoot, "<root>")),
    ...["cwd", "root"].map((link) => readlinkSync(`/proc/${pid}/${link}`)),
  ];
}

function statusOf(pid: number): string[] {
  const shown = /^(Uid|Gid|Groups|Umask|NoNewPrivs|Cap\w+|SigBlk|SigIgn|NSpid):/;
  return readFileSync(`/proc/${pid}/status`, "utf8")
    .split("\n")
    .filter((line) => shown.test(line))
    .map((line) => (line.startsWith("NSpid") ? line.replace(/\d+/, "<pid>") : line));
}

async function traceOf(cycle: Cycle): Promise<readonly Call[]> {
  await using bench = await Bench.start(cycle);
  return await bench.trace();
}

/** The step that an error names; undefined: none. */
function stepOf({ metadata }: StockadeError): HelperStep | undefined {
  return HELPER_STEPS.find((name) => name.toLowerCase() === metadata["stage"]);
}

/** The one step that is to be named, or what is wrong with the answer to a call that failed so. */
function judge(
  outcome: Outcome,
  errno: string,
  code: string,
): { readonly step?: HelperStep; readonly wrong?: string } {
  if (outcome.kind === "works") return { wrong: "nobody was told" };
  const { error, by } = outcome;
  const step = stepOf(error);
  if (step === undefined) return { wrong: `${by}: ${error.code} ${error.message}` };
  const told = error.metadata["errno"];
  const wanted = OWN_ERRNO[step] ?? errno;
  if (told !== wanted) return { step, wrong: `${step} says ${told}` };
  const wantedCode = by === "Start" || wanted !== errno ? "FAILED_PRECONDITION" : code;
  return error.code === wantedCode ? { step } : { step, wrong: `${step} is answered ${error.code}` };
}

/** Fails each call of a cycle; answers what was wrong, a line each. */
async function failEach(
  cycle: Cycle,
  isMeant: (call: Call, calls: readonly Call[]) => boolean = () => true,
): Promise<string[]> {
  const { calls, contained } = await normally(cycle);
  const reached = new Map<Role, number>();
  const first = new Map<HelperStep, Call>();
  const wrong = miscounted(calls);
  const meant = calls.filter(
    (call) => canFail(call) && call.role !== "worker" && !isAmong(FATAL, call, calls) && isMeant(call, calls),
  );
  const outcomes = await failAll(cycle, meant, ERRNO);
  for (const [call, outcome] of outcomes) {
    const what = `${call.role} ${call.n} ${call.name}`;
    if (isAmong(PASSED_OVER, call, calls)) {
      if (outcome.kind !== "works") wrong.push(`${what}: ${outcome.by}: ${outcome.error.message}`);
      else expect(outcome).toEqual(contained);
      continue;
    }
    const judgement = judge(outcome, ERRNO, "FAILED_PRECONDITION");
    if (judgement.wrong !== undefined) wrong.push(`${what}: ${judgement.wrong}`);
    const { step } = judgement;
    if (step === undefined) continue;
    noteNamed(step, call);
    if (!first.has(step)) first.set(step, call);
    // Made anew when the ids have changed, and undone at START.
    if (step === "TIE_TO_LAUNCHER") continue;
    const order = HELPER_STEPS.indexOf(step);
    if (order < (reached.get(call.role) ?? 0)) wrong.push(`${what}: names ${step}, which is over`);
    reached.set(call.role, order);
  }
  // What has run out, and others use too, has another code.
  for (const [call, outcome] of await failAll(cycle, [...first.values()], "ENOMEM")) {
    const judgement = judge(outcome, "ENOMEM", "RESOURCE_EXHAUSTED");
    if (judgement.wrong !== undefined) wrong.push(`${call.name}, out of memory: ${judgement.wrong}`);
  }
  return wrong;
}

/** What a cycle's task does, and how it is contained, when nothing fails. */
async function normally(
  cycle: Cycle,
): Promise<{ readonly calls: readonly Call[]; readonly contained: Outcome }> {
  await using bench = await Bench.start(cycle);
  return { calls: await bench.trace(), contained: await bench.attempt("contained") };
}

/** Fails each of the calls, in a task of its own; answers in their order. */
async function failAll(
  cycle: Cycle,
  calls: readonly Call[],
  answer: Errno,
): Promise<readonly (readonly [Call, Outcome])[]> {
  const outcomes = new Map<Call, Outcome>();
  const left = calls.values();
  const lanes = Array.from({ length: LANES }, async () => {
    await using bench = await Bench.start(cycle);
    for (const call of left) outcomes.set(call, await bench.failOnce(call, { when: whenOf(call), answer }));
  });
  await Promise.all(lanes);
  return calls.flatMap((call) => {
    const outcome = outcomes.get(call);
    return outcome === undefined ? [] : [[call, outcome] as const];
  });
}

/** Whether a test has that file and title. */
function isThere(proof: string): boolean {
  const [, file = "", title = ""] = /^(test\/\S+\.test\.ts): (.+)$/.exec(proof) ?? [];
  return file !== "" && readFileSync(join(__dirname, "../..", file), "utf8").includes(`"${title}",\n`);
}

function noteNamed(step: HelperStep, { role, name }: Call): void {
  namedBy.set(step, (namedBy.get(step) ?? new Set()).add(`${role} ${name}`));
}

/** A task that embeds: files, a link and a directory, by links and, from another file system, by copies. */
function linking(): Cycle {
  scratch.compile("pause", "#include <unistd.h>\nint main(void) { return pause(); }\n");
  scratch.sh(`mkdir -p linked/deep; cp pause linked; echo one >linked/deep/one; ln -sf one linked/deep/two
    mkdir -p ${shm}/copied; echo three >${shm}/copied/three`);
  const linked = join(scratch.path, "linked");
  return {
    config: { allowed_paths: [{ path: linked }, { path: shm }] },
    request: {
      command: "/linked/pause",
      chroot: { [linked]: "/linked", [join(shm, "copied")]: "/data/copied" },
      chrootMethod: ChrootMethod.CHROOT_METHOD_LINK,
    },
  };
}

/** A task of a daemon that a plain user has started. */
function plain(): Cycle {
  const program = join(scratch.path, "stockaded");
  // It may read, as root may, a checkout that is not everybody's.
  const reads = "--inh-caps +dac_read_search --ambient-caps +dac_read_search";
  const user = `setpriv --reuid 65534 --regid 65534 --clear-groups ${reads}`;
  writeFileSync(
    program,
    `#!/bin/sh\nchown -R 65534:65534 "$(dirname "$2")"\nexec ${user} ${PROGRAM} "$@"\n`,
    { mode: 0o755 },
  );
  return { program, request: { ...SLEEPER, allowUnenforced: true } };
}

/** What comes later is the same for every chroot. */
function makesRoot(call: Call, calls: readonly Call[]): boolean {
  const pivot = calls.find(({ name }) => name === "pivot_root")?.n ?? 0;
  return call.role === "init" && call.n <= pivot;
}

/** Most calls, by far, are these two; who makes them is all the same. */
function differsForUsers({ name }: Call): boolean {
  return name !== "close" && name !== "prctl";
}

describe("each call that fails, of a task", () => {
  itRequires(
    ["root", "ptrace"],
    "with a chroot of binds",
    async () => {
      expect(await failEach({ request: LIMITED })).toEqual([]);
    },
    CYCLE_MS,
  );

  itRequires(
    ["root", "ptrace"],
    "with a chroot of links",
    async () => {
      expect(await failEach(linking(), makesRoot)).toEqual([]);
    },
    CYCLE_MS,
  );

  itRequires(
    ["root", "ptrace", "userns"],
    "of a plain user",
    async () => {
      expect(await failEach(plain(), differsForUsers)).toEqual([]);
    },
    CYCLE_MS,
  );
});

itRequires(
  ["root", "ptrace"],
  "a call that says it is done, and is not, is found out where it would let something loose",
  async () => {
    await using bench = await Bench.start({ request: SLEEPER });
    const calls = await bench.trace();
    const contained = await bench.attempt("contained");
    const names = ["write", "setgroups", "setresgid", "setresuid", "capset", "prctl"];
    const finders = new Set<HelperStep>();
    for (const call of calls.filter(({ role, name }) => /command|init/.test(role) && names.includes(name))) {
      // A cgroup is joined by one byte.
      const answer = call.name === "write" ? 1 : 0;
      const outcome = await bench.failOnce(call, { when: "before", answer });
      if (outcome.kind === "works") {
        expect({ call, outcome }).toEqual({ call, outcome: contained });
      } else {
        const step = stepOf(outcome.error);
        if (step !== undefined) finders.add(step);
      }
    }
    const verifying: HelperStep[] = ["VERIFY_CREDENTIALS", "VERIFY_INIT"];
    if (calls.some(({ role, name }) => role === "command" && name === "write")) {
      verifying.push("VERIFY_CGROUPS");
    }
    expect([...finders]).toEqual(expect.arrayContaining(verifying));
  },
  CYCLE_MS,
);

itRequires(
  ["root", "ptrace"],
  "what execve says of the command comes back by the step that it means",
  async () => {
    await using bench = await Bench.start({ request: SLEEPER });
    const calls = await bench.trace();
    const call = calls.find(({ name }) => name === "execve");
    if (call === undefined) throw new Error("nothing was executed");
    const meanings = [
      ["ENOTDIR", "FIND_COMMAND"],
      ["ENOENT", "FIND_INTERPRETER"],
      ["EACCES", "EXEC"],
    ] as const;
    for (const [errno, meant] of meanings) {
      const outcome = await bench.failOnce(call, { when: "before", answer: errno });
      expect(judge(outcome, errno, "FAILED_PRECONDITION")).toEqual({ step: meant });
      noteNamed(meant, call);
    }
  },
);

itRequires(
  ["root", "ptrace"],
  "the removal of what was embedded is logged when it fails, and is made up for by the next task's",
  async () => {
    await using bench = await Bench.start(linking());
    const { daemon } = bench;
    const calls = await bench.trace();
    const workers = calls.filter((call) => call.role === "worker" && canFail(call));
    expect(workers).not.toEqual([]);
    for (const call of workers) {
      const name = daemon.freshName();
      const logged = daemon.logged.length;
      const outcome = await bench.failOnce(call, { when: whenOf(call), answer: ERRNO }, name);
      expect(outcome.kind).toBe("works");
      if (!isAmong(PASSED_OVER, call, calls)) {
        await until(() => daemon.logged.slice(logged).includes(`REMOVE_TREES: ${ERRNO}`));
        noteNamed("REMOVE_TREES", call);
        expect(await bench.attempt(name)).toMatchObject({ kind: "works" });
      }
      expect(entries(daemon, join(name, name))).toEqual(["local"]);
    }
  },
  CYCLE_MS,
);

itRequires(
  ["root", "ptrace"],
  "a launcher that cannot hear or answer is replaced, and nothing is left",
  async () => {
    const cycle = { request: SLEEPER };
    const calls = await traceOf(cycle);
    const fatal = calls.filter((call) => isAmong(FATAL, call, calls));
    expect(fatal.map(({ name }) => name)).toEqual(["recvfrom", "sendto", "recvfrom", "sendto"]);
    const outcomes: string[] = [];
    for (const call of fatal) {
      await using bench = await Bench.start(cycle);
      const { daemon, injector } = bench;
      injected++;
      await injector.arm({ role: call.role, n: call.n, when: "before", answer: ERRNO });
      const outcome = await bench.attempt(daemon.freshName());
      outcomes.push(
        outcome.kind === "works" ? "works" : `${outcome.by}: ${outcome.error.code} ${outcome.error.reason}`,
      );
      await until(() => daemon.logged.includes("the launcher has gone"));
      expect(await bench.attempt(daemon.freshName())).toMatchObject({ kind: "works" });
      await until(() => daemon.leftovers().length === 0);
    }
    // A task that was not started has ended with its launcher; of a start that was not told, init's record tells.
    expect(outcomes).toEqual([
      "Configure: UNAVAILABLE HELPER_GONE",
      "Configure: UNAVAILABLE HELPER_GONE",
      "Start: FAILED_PRECONDITION ENDED",
      "works",
    ]);
  },
  CYCLE_MS,
);

itRequires(["root", "ptrace"], "a network of the host's needs no step of its own", async () => {
  const callsOf = async (request: ConfigureFields): Promise<Record<"init" | "command", string[]>> => {
    const calls = await traceOf({ request });
    const by = (wanted: Role): string[] =>
      calls.filter(({ role }) => role === wanted).map(({ name }) => name);
    return { init: by("init"), command: by("command") };
  };
  const own = await callsOf(SLEEPER);
  const host = await callsOf({ ...SLEEPER, network: { mode: NetworkMode.NETWORK_MODE_HOST } });
  expect(own.command.splice(own.command.indexOf("unshare"), 4)).toEqual([
    ...["unshare", "socket", "ioctl", "close"],
  ]);
  expect(own.init.splice(own.init.indexOf("setns"), 1)).toEqual(["setns"]);
  expect(host).toEqual(own);
});

// The last test: it is about what the others have seen.
itRequires(
  ["root", "ptrace", "userns"],
  "each step of the helper is named by the failure of a call of its own",
  () => {
    expect(Object.keys(OWN_CALLS)).toEqual(HELPER_STEPS);
    const missing = HELPER_STEPS.filter((step) => {
      const own = OWN_CALLS[step];
      return "provedBy" in own ? !isThere(own.provedBy) : namedBy.get(step)?.has(own.join(" ")) !== true;
    });
    process.stdout.write(
      `faults: ${namedBy.size} of ${HELPER_STEPS.length} steps named, of ${injected} system calls that failed\n`,
    );
    expect(missing).toEqual([]);
    return Promise.resolve();
  },
);
