import { credentials, Client, status, type ServiceError } from "@grpc/grpc-js";
import {
  ChrootMethod,
  NetworkMode,
  OpenMode,
  TaskState,
  type ConfigureFields,
  type ListFields,
  type Resources,
  type ShutdownRequest,
} from "../../src/client";
import { failure, TestDaemon } from "../support/daemon";
import { exited } from "../support/exits";
import { footprint } from "../support/footprint";

let daemon: TestDaemon;

/** A task that waits for Start while all of it goes on. */
let waiting: string;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  waiting = await daemon.configure({ command: "/bin/true" });
  untouched = footprint(daemon);
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

let untouched: string[];

afterEach(() => {
  expect(footprint(daemon)).toEqual(untouched);
});

const UNKNOWN_ID = "CGROUP:/stockade/01890000-0000-7000-8000-000000000000";
const TOO_LONG = "x".repeat(129);

type Row<Request> = readonly [what: string, request: Request, reason: string, field: string];

const CONFIGURE: readonly Row<ConfigureFields>[] = [
  ["no alloc_id", { allocId: "" }, "FIELD_MISSING", "alloc_id"],
  ["an alloc_id that leads up", { allocId: ".." }, "FIELD_INVALID", "alloc_id"],
  ["an alloc_id with a slash", { allocId: "a/b" }, "FIELD_INVALID", "alloc_id"],
  ["an alloc_id with a NUL", { allocId: "a\0b" }, "FIELD_INVALID", "alloc_id"],
  ["an alloc_id with a line break at its end", { allocId: "a\n" }, "FIELD_INVALID", "alloc_id"],
  ["an alloc_id that starts with a dot", { allocId: ".a" }, "FIELD_INVALID", "alloc_id"],
  ["an alloc_id that starts with a dash", { allocId: "-a" }, "FIELD_INVALID", "alloc_id"],
  ["an alloc_id beyond ASCII", { allocId: "ä" }, "FIELD_INVALID", "alloc_id"],
  ["an alloc_id of 129 characters", { allocId: TOO_LONG }, "FIELD_INVALID", "alloc_id"],
  ["no task_name", { taskName: "" }, "FIELD_MISSING", "task_name"],
  ["the reserved task_name", { taskName: "alloc" }, "FIELD_INVALID", "task_name"],
  ["a task_name with a slash", { taskName: "a/b" }, "FIELD_INVALID", "task_name"],
  ["a task_name with a space", { taskName: "a b" }, "FIELD_INVALID", "task_name"],
  ["a task_name of 129 characters", { taskName: TOO_LONG }, "FIELD_INVALID", "task_name"],
  ["neither command nor command_line", { command: "" }, "FIELD_MISSING", "command"],
  ["command and command_line", { commandLine: "true" }, "FIELDS_EXCLUSIVE", "command_line"],
  ["args beside command_line", { command: "", args: ["x"], commandLine: "true" }, "FIELDS_EXCLUSIVE", "args"],
  ["a command with a NUL", { command: "/bin/true\0" }, "FIELD_INVALID", "command"],
  ["an argument with a NUL", { args: ["good", "b\0d"] }, "FIELD_INVALID", "args[1]"],
  ["a command_line of blanks", { command: "", commandLine: " \t\n" }, "FIELD_INVALID", "command_line"],
  [
    "a command_line with an empty program",
    { command: "", commandLine: "'' x" },
    "FIELD_INVALID",
    "command_line",
  ],
  ["an open single quote", { command: "", commandLine: "echo 'x" }, "FIELD_INVALID", "command_line"],
  ["an open double quote", { command: "", commandLine: 'echo "x' }, "FIELD_INVALID", "command_line"],
  ["an escape at the end", { command: "", commandLine: "echo x\\" }, "FIELD_INVALID", "command_line"],
  ["a command_line with a NUL", { command: "", commandLine: "echo \0" }, "FIELD_INVALID", "command_line"],
  ["an empty name in env", { env: { "": "x" } }, "FIELD_INVALID", "env"],
  ["a name in env with =", { env: { "A=B": "x" } }, "FIELD_INVALID", "env"],
  ["a name in env with a NUL", { env: { "A\0": "x" } }, "FIELD_INVALID", "env"],
  ["a value in env with a NUL", { env: { A: "x\0y" } }, "FIELD_INVALID", "env"],
  ["a user of 33 bits", { user: "4294967296" }, "FIELD_INVALID", "user"],
  ["a user of 100 digits", { user: "9".repeat(100) }, "FIELD_INVALID", "user"],
  ["a user with a NUL", { user: "nobody\0" }, "FIELD_INVALID", "user"],
  ["an unknown user", { user: "no-such-user" }, "USER_UNKNOWN", "user"],
  ["a group of 33 bits", { group: "4294967296" }, "FIELD_INVALID", "group"],
  ["an unknown group", { group: "no-such-group" }, "GROUP_UNKNOWN", "group"],
  ["an empty supplementary group", { supplementaryGroups: [""] }, "FIELD_INVALID", "supplementary_groups[0]"],
  [
    "a supplementary group of 33 bits",
    { supplementaryGroups: ["nogroup", "4294967296"] },
    "FIELD_INVALID",
    "supplementary_groups[1]",
  ],
  ["a relative work_dir", { workDir: "local" }, "FIELD_INVALID", "work_dir"],
  ["a work_dir that leads up", { workDir: "/local/../etc" }, "FIELD_INVALID", "work_dir"],
  ["a work_dir with a NUL", { workDir: "/local\0" }, "FIELD_INVALID", "work_dir"],
  ["a work_dir that is too long", { workDir: `/${"x".repeat(4096)}` }, "FIELD_INVALID", "work_dir"],
  ["a relative chroot source", { chroot: { bin: "/bin" } }, "FIELD_INVALID", "chroot"],
  ["a chroot source that leads up", { chroot: { "/bin/../etc": "/bin" } }, "FIELD_INVALID", "chroot"],
  ["a relative chroot target", { chroot: { "/bin": "bin" } }, "FIELD_INVALID", "chroot"],
  ["the root as a chroot target", { chroot: { "/bin": "/" } }, "FIELD_INVALID", "chroot"],
  ["a chroot target that leads up", { chroot: { "/bin": "/../bin" } }, "FIELD_INVALID", "chroot"],
  ["a chroot target in /proc", { chroot: { "/bin": "/proc/x" } }, "FIELD_INVALID", "chroot"],
  ["a chroot target in /dev", { chroot: { "/bin": "/dev" } }, "FIELD_INVALID", "chroot"],
  [
    "two chroot entries for one target",
    { chroot: { "/bin": "/x", "/etc": "/x" } },
    "FIELD_INVALID",
    "chroot",
  ],
  ["a chroot source that is not allowed", { chroot: { "/root": "/bin" } }, "PATH_FORBIDDEN", "chroot"],
  ["an unknown chroot_method", { chrootMethod: ChrootMethod.UNRECOGNIZED }, "FIELD_INVALID", "chroot_method"],
  [
    "an unknown network mode",
    { network: { mode: NetworkMode.UNRECOGNIZED } },
    "FIELD_INVALID",
    "network.mode",
  ],
  [
    "a mount without a source",
    { mounts: [{ source: "", target: "/x", readOnly: true }] },
    "FIELD_INVALID",
    "mounts[0].source",
  ],
  [
    "a mount on /alloc",
    { mounts: [{ source: "/etc", target: "/alloc/x", readOnly: true }] },
    "FIELD_INVALID",
    "mounts[0].target",
  ],
  [
    "two mounts on one target",
    {
      mounts: [
        { source: "/etc", target: "/x", readOnly: true },
        { source: "/bin", target: "/x", readOnly: true },
      ],
    },
    "FIELD_INVALID",
    "mounts[1].target",
  ],
  [
    "a mount that is not allowed",
    { mounts: [{ source: "/root", target: "/x", readOnly: true }] },
    "PATH_FORBIDDEN",
    "mounts[0].source",
  ],
  [
    "a mount to write that is allowed to be read",
    { mounts: [{ source: "/etc", target: "/x", readOnly: false }] },
    "PATH_FORBIDDEN",
    "mounts[0].source",
  ],
  ["an ip that is none", { ip: "10.0.0.256" }, "FIELD_INVALID", "ip"],
  ["an ip with a mask", { ip: "10.0.0.1/8" }, "FIELD_INVALID", "ip"],
  ["port 0", { ports: { http: 0 } }, "FIELD_INVALID", "ports"],
  ["port 65536", { ports: { http: 65_536 } }, "FIELD_INVALID", "ports"],
  ["an empty port label", { ports: { "": 80 } }, "FIELD_INVALID", "ports"],
  ["a port label with =", { ports: { "a=b": 80 } }, "FIELD_INVALID", "ports"],
  ["an empty meta key", { meta: { "": "x" } }, "FIELD_INVALID", "meta"],
  ["a meta key with a space", { meta: { "a b": "x" } }, "FIELD_INVALID", "meta"],
  ["a meta value with a NUL", { meta: { a: "\0" } }, "FIELD_INVALID", "meta"],
  ["two meta keys that become one", { meta: { a: "1", A: "2" } }, "FIELD_INVALID", "meta"],
  ...(
    [
      ["zero", 0n, 0],
      ["a negative number", -1n, 0],
      ["a negative number of nanoseconds", 0n, -1],
      ["mixed signs", 1n, -1],
      ["mixed signs, the other way", -1n, 1],
      ["a second's nanoseconds", 1n, 10 ** 9],
      ["the largest number of nanoseconds", 1n, 2 ** 31 - 1],
      ["the smallest number of nanoseconds", 1n, -(2 ** 31)],
      ["a nanosecond more than 365 days", 365n * 86_400n, 1],
      ["what overflows in nanoseconds", 2n ** 63n / 10n ** 9n, 0],
      ["the longest time there is", 2n ** 63n - 1n, 999_999_999],
      ["the most negative time there is", -(2n ** 63n), 0],
    ] as const
  ).flatMap(([what, seconds, nanos]): Row<ConfigureFields>[] => [
    [`a timeout of ${what}`, { timeout: { seconds, nanos } }, "FIELD_INVALID", "timeout"],
    [`a cpu_time_limit of ${what}`, { cpuTimeLimit: { seconds, nanos } }, "FIELD_INVALID", "cpu_time_limit"],
  ]),
  ["an empty label", { labels: { "": "x" } }, "FIELD_INVALID", "labels"],
  ["a label that begins with a dot", { labels: { ".a": "x" } }, "FIELD_INVALID", "labels"],
  ["a label with a space", { labels: { "a b": "x" } }, "FIELD_INVALID", "labels"],
  ["a label with a line break", { labels: { "a\n": "x" } }, "FIELD_INVALID", "labels"],
  ["a label that is too long", { labels: { [TOO_LONG]: "x" } }, "FIELD_INVALID", "labels"],
  ["a label's value that is too long", { labels: { a: "x".repeat(257) } }, "FIELD_INVALID", "labels"],
  ["a label's value of too many bytes", { labels: { a: "é".repeat(129) } }, "FIELD_INVALID", "labels"],
  ["a label's value with a NUL", { labels: { a: "\0" } }, "FIELD_INVALID", "labels"],
  ["a label's value that colours a terminal", { labels: { a: "\x1b[31m" } }, "FIELD_INVALID", "labels"],
  ["a label's value with a C1 control", { labels: { a: "\x9b31m" } }, "FIELD_INVALID", "labels"],
  ["a label's value with a DEL", { labels: { a: "\x7f" } }, "FIELD_INVALID", "labels"],
  [
    "65 labels",
    { labels: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`l${index}`, ""])) },
    "FIELD_INVALID",
    "labels",
  ],
  ["a request_id that is too long", { requestId: TOO_LONG }, "FIELD_INVALID", "request_id"],
  ["a request_id with a line break", { requestId: "a\n" }, "FIELD_INVALID", "request_id"],
  ["a request_id with a NUL", { requestId: "\0" }, "FIELD_INVALID", "request_id"],
  ["a request_id that is not ASCII", { requestId: "é" }, "FIELD_INVALID", "request_id"],
];

const CODES: Readonly<Record<string, string>> = { PATH_FORBIDDEN: "PERMISSION_DENIED" };

describe("Configure", () => {
  it.each(CONFIGURE)("refuses %s", async (_what, request, reason, field) => {
    const valid = { allocId: "bad-input", taskName: "task", command: "/bin/true", allowUnenforced: true };
    const error = await failure(daemon.client.configure({ ...valid, ...request }));
    expect(error).toMatchObject({ code: CODES[reason] ?? "INVALID_ARGUMENT", reason, field });
    expect(error.message).not.toContain(daemon.daemon.directory);
    expect(error.message).not.toContain("\0");
  });

  it("refuses names that are in use", async () => {
    const error = await failure(
      daemon.client.configure({ allocId: "t0", taskName: "t0", command: "/bin/true", allowUnenforced: true }),
    );
    expect(error).toMatchObject({ code: "ALREADY_EXISTS", reason: "TASK_EXISTS" });
  });
});

interface LimitInput {
  readonly id: string;
  readonly resources: Partial<Resources>;
}

const LIMIT: readonly Row<Partial<LimitInput>>[] = [
  ["no id", { id: "", resources: { pidsMax: 1n } }, "FIELD_MISSING", "id"],
  ["no resources", {}, "FIELD_MISSING", "resources"],
  ["empty resources", { resources: {} }, "FIELD_MISSING", "resources"],
  ...(
    [
      ["memory_bytes", "memoryBytes", [0n, 2n ** 63n, 2n ** 64n - 1n]],
      ["memory_reservation_bytes", "memoryReservationBytes", [0n, 2n ** 63n]],
      ["cpu_shares", "cpuShares", [0n, 1n, 262_145n]],
      ["cpu_millis", "cpuMillis", [0n, 1_000_001n]],
      ["io_weight", "ioWeight", [0n, 9n, 1001n]],
      ["pids_max", "pidsMax", [0n, 4_194_305n]],
      [
        "cpuset_cpus",
        "cpusetCpus",
        ["", " ", "a", "-1", "0-", "1-0", "0,,1", "0,", "0x1", "0\n1", "8192", "0;1"],
      ],
    ] as const
  ).flatMap(([field, name, values]) =>
    values.map((value): Row<Partial<LimitInput>> => {
      const resources: Partial<Resources> = { [name]: value };
      return [
        `${field} of ${JSON.stringify(String(value))}`,
        { resources },
        "FIELD_INVALID",
        `resources.${field}`,
      ];
    }),
  ),
  [
    "a reservation above the limit",
    {
      resources: {
        memoryBytes: 100n << 20n,
        memoryReservationBytes: 101n << 20n,
      },
    },
    "FIELD_INVALID",
    "resources.memory_reservation_bytes",
  ],
];

describe("Limit", () => {
  it.each(LIMIT)("refuses %s", async (_what, request, reason, field) => {
    const error = await failure(daemon.client.limit({ id: waiting, allowUnenforced: true, ...request }));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason, field });
  });
});

const SHUTDOWN: readonly Row<Partial<ShutdownRequest>>[] = [
  ["signal 0", { signal: "0" }, "FIELD_INVALID", "signal"],
  ["signal 65", { signal: "65" }, "FIELD_INVALID", "signal"],
  ["signal -9", { signal: "-9" }, "FIELD_INVALID", "signal"],
  ["a signal that is none", { signal: "SIGNOTHING" }, "FIELD_INVALID", "signal"],
  ["a signal's name with a blank", { signal: "TERM " }, "FIELD_INVALID", "signal"],
  ["a real-time signal beyond the last", { signal: "RTMAX+1" }, "FIELD_INVALID", "signal"],
  ["a negative grace period", { gracePeriod: { seconds: -1n, nanos: 0 } }, "FIELD_INVALID", "grace_period"],
  ["negative nanoseconds", { gracePeriod: { seconds: 1n, nanos: -1 } }, "FIELD_INVALID", "grace_period"],
  ["too many nanoseconds", { gracePeriod: { seconds: 0n, nanos: 10 ** 9 } }, "FIELD_INVALID", "grace_period"],
  ["more than a day", { gracePeriod: { seconds: 86_400n, nanos: 1 } }, "FIELD_INVALID", "grace_period"],
  [
    "the longest time there is",
    { gracePeriod: { seconds: 2n ** 63n - 1n, nanos: 0 } },
    "FIELD_INVALID",
    "grace_period",
  ],
];

describe("Shutdown", () => {
  it.each(SHUTDOWN)("refuses %s", async (_what, request, reason, field) => {
    const error = await failure(daemon.client.shutdown({ id: waiting, ...request }));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason, field });
  });
});

/** Of the right form. */
const FORGED_TOKEN = Buffer.alloc(32, "forged").toString("base64url");

const LIST: readonly Row<ListFields>[] = [
  ["a negative page_size", { pageSize: -1 }, "FIELD_INVALID", "page_size"],
  ["the least page_size there is", { pageSize: -(2 ** 31) }, "FIELD_INVALID", "page_size"],
  [
    "a state that is never sent",
    { states: [TaskState.TASK_STATE_UNSPECIFIED] },
    "FIELD_INVALID",
    "states[0]",
  ],
  [
    "a state that is none",
    { states: [TaskState.TASK_STATE_ENDED, TaskState.UNRECOGNIZED] },
    "FIELD_INVALID",
    "states[1]",
  ],
  [
    "more states than there are",
    { states: new Array<TaskState>(17).fill(TaskState.TASK_STATE_ENDED) },
    "FIELD_INVALID",
    "states",
  ],
  [
    "a million states",
    { states: new Array<TaskState>(1_000_000).fill(TaskState.TASK_STATE_ENDED) },
    "FIELD_INVALID",
    "states",
  ],
  ["an alloc_id that leads up", { allocId: ".." }, "FIELD_INVALID", "alloc_id"],
  ["an alloc_id that is too long", { allocId: TOO_LONG }, "FIELD_INVALID", "alloc_id"],
  ["an empty label", { labels: { "": "x" } }, "FIELD_INVALID", "labels"],
  ["a label's value with a line break", { labels: { a: "b\nc" } }, "FIELD_INVALID", "labels"],
  [
    "100000 labels",
    { labels: Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`l${index}`, ""])) },
    "FIELD_INVALID",
    "labels",
  ],
  [
    "a page_token with something after it",
    { pageToken: `${"A".repeat(43)}=` },
    "FIELD_INVALID",
    "page_token",
  ],
  ["a page_token in another alphabet", { pageToken: `${"A".repeat(42)}+` }, "FIELD_INVALID", "page_token"],
  ["a page_token with a line break", { pageToken: `${"A".repeat(43)}\n` }, "FIELD_INVALID", "page_token"],
  ["a page_token that somebody made up", { pageToken: FORGED_TOKEN }, "FIELD_INVALID", "page_token"],
  ["a page_token that is none", { pageToken: "1" }, "FIELD_INVALID", "page_token"],
  ["a page_token with a NUL", { pageToken: "\0" }, "FIELD_INVALID", "page_token"],
  ["a page_token of zeroes", { pageToken: "A".repeat(43) }, "FIELD_INVALID", "page_token"],
  [
    "a page_token of a million characters",
    { pageToken: "A".repeat(1_000_000) },
    "FIELD_INVALID",
    "page_token",
  ],
];

describe("List", () => {
  it.each(LIST)("refuses %s", async (_what, request, reason, field) => {
    const error = await failure(daemon.client.list(request));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason, field });
    expect(error.message.length).toBeLessThan(1000);
  });
});

it("Delete refuses a task that waits for Start", async () => {
  const error = await failure(daemon.client.delete(waiting));
  expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NOT_ENDED" });
});

it("Open refuses a mode that is none", async () => {
  const error = await failure(daemon.client.open({ id: waiting, mode: OpenMode.UNRECOGNIZED }));
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", field: "mode" });
});

/** Every call that names a task, with all else as it should be. */
const CALLS: Readonly<Record<string, (id: string) => Promise<unknown>>> = {
  Limit: (id) =>
    daemon.client.limit({
      id,
      resources: { pidsMax: 10n },
      allowUnenforced: true,
    }),
  Start: (id) => daemon.client.start(id),
  Wait: (id) => daemon.client.wait(id),
  Shutdown: (id) => daemon.client.shutdown({ id }),
  ForceStop: (id) => daemon.client.forceStop(id),
  Open: (id) => daemon.client.open({ id }),
  Get: (id) => daemon.client.get(id),
  Delete: (id) => daemon.client.delete(id),
};

describe.each(Object.keys(CALLS))("%s", (name) => {
  const call = (id: string): Promise<unknown> =>
    CALLS[name]?.(id) ?? Promise.reject(new Error("no such call"));

  it.each([
    ["no id", "", "INVALID_ARGUMENT", "FIELD_MISSING", "id"],
    ["what is no id", "nonsense", "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["an id that leads up", "CGROUP:/stockade/../x", "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["the host's first process", "PID:1", "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["an id with a NUL", `${UNKNOWN_ID}\0`, "INVALID_ARGUMENT", "FIELD_INVALID", "id"],
    ["an id of a million characters", `CGROUP:/${"x".repeat(1_000_000)}`, undefined, undefined, undefined],
    ["the id of no task", UNKNOWN_ID, "NOT_FOUND", "TASK_NOT_FOUND", undefined],
  ])("refuses %s", async (_what, id, code, reason, field) => {
    const error = await failure(call(id));
    if (code === undefined) expect(["INVALID_ARGUMENT", "NOT_FOUND"]).toContain(error.code);
    else expect(error).toMatchObject({ code, reason, field });
    expect(error.message.length).toBeLessThan(1000);
  });
});

describe("what is no request", () => {
  let raw: Client;

  beforeAll(() => {
    raw = new Client(daemon.daemon.address, credentials.createInsecure());
  });

  afterAll(() => raw.close());

  /** The code that bytes sent to a method are answered with. */
  function codeOf(method: string, bytes: Buffer): Promise<string> {
    const pass = (buffer: Buffer): Buffer => buffer;
    return new Promise((resolve) => {
      raw.makeUnaryRequest(method, pass, pass, bytes, (error: ServiceError | null) => {
        resolve(error === null ? "OK" : status[error.code]);
      });
    });
  }

  it.each([
    "Configure",
    "Limit",
    "Start",
    "Wait",
    "Shutdown",
    "ForceStop",
    "Open",
    "Get",
    "List",
    "Delete",
    "GetServerInfo",
  ])("is refused by %s: bytes that are no message, and one that is cut short", async (name) => {
    const noMessages = [Buffer.from("ffffffffffffffffffff", "hex"), Buffer.from([0x0a, 0x7f, 0x41])];
    for (const bytes of noMessages) {
      const code = await codeOf(`/executor.v1.ExecutorService/${name}`, bytes);
      expect(["INVALID_ARGUMENT", "INTERNAL"]).toContain(code);
    }
  });

  it("is refused by what is no method", async () => {
    expect(await codeOf("/executor.v1.ExecutorService/Nothing", Buffer.alloc(0))).toBe("UNIMPLEMENTED");
    expect(await codeOf("/executor.v2.ExecutorService/Start", Buffer.alloc(0))).toBe("UNIMPLEMENTED");
  });

  it("is refused when it is larger than a message may be", async () => {
    const code = await codeOf("/executor.v1.ExecutorService/Configure", Buffer.alloc(32 << 20, 0x20));
    expect(code).toBe("RESOURCE_EXHAUSTED");
  });
});

it("after all of it the daemon serves on, and the waiting task is as it was", async () => {
  const kept = await daemon.run("echo served");
  expect(kept).toMatchObject({ exit: exited(0), stdout: "served\n" });
  await daemon.client.start(waiting);
  expect((await daemon.client.wait(waiting)).exit).toMatchObject(exited(0));
  expect(daemon.leftovers()).toEqual([]);
  untouched = footprint(daemon);
});
