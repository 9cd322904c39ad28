/** Requests of Run that cannot be: each is refused with its code, reason and field, and nothing is there of a task. */
import {
  ChrootMethod,
  NetworkMode,
  Resources,
  type ConfigureFields,
  type InputFile,
  type RunRequest,
} from "../../src/client";
import { TestDaemon } from "../support/daemon";
import { exited } from "../support/exits";
import { footprint } from "../support/footprint";
import { expectNothingLeftSoon } from "../support/leftovers";
import { RunStream } from "../support/run-stream";

let daemon: TestDaemon;
let untouched: string[];

beforeAll(async () => {
  daemon = await TestDaemon.start();
  untouched = footprint(daemon);
});

afterEach(() => {
  expect(footprint(daemon)).toEqual(untouched);
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

type Row<Request> = readonly [what: string, request: Request, reason: string, field: string];
type Rest = Partial<Omit<RunRequest, "configure">>;

const CODES: Readonly<Record<string, string>> = { PATH_FORBIDDEN: "PERMISSION_DENIED" };

async function refused(configure: ConfigureFields, rest: Rest, reason: string, field: string): Promise<void> {
  using run = new RunStream(daemon, { command: "/bin/true", ...configure }, rest);
  const error = await run.ended;
  expect(error).toMatchObject({ code: CODES[reason] ?? "INVALID_ARGUMENT", reason, field });
  expect(error?.message).not.toContain(daemon.daemon.directory);
  expect(run.events).toEqual([]);
}

const TOO_LONG = "x".repeat(129);
const named = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

const DURATIONS: readonly (readonly [what: string, seconds: bigint, nanos: number])[] = [
  ["nothing", 0n, 0],
  ["a negative number of seconds", -1n, 0],
  ["a negative number of nanoseconds", 2n, -1],
  ["a second's nanoseconds", 2n, 10 ** 9],
  ["what overflows in nanoseconds", 2n ** 63n / 10n ** 9n, 0],
  ["the longest time there is", 2n ** 63n - 1n, 999_999_999],
  ["the most negative time there is", -(2n ** 63n), 0],
];

/** Of what Configure refuses (bad-input.test.ts) one of each field: they are looked at as Configure does. */
const CONFIGURE: readonly Row<ConfigureFields>[] = [
  ["no alloc_id", { allocId: "" }, "FIELD_MISSING", "alloc_id"],
  ["an alloc_id that leads up", { allocId: ".." }, "FIELD_INVALID", "alloc_id"],
  ["the reserved task_name", { taskName: "alloc" }, "FIELD_INVALID", "task_name"],
  ["no command", { command: "" }, "FIELD_MISSING", "command"],
  ["command and command_line", { commandLine: "true" }, "FIELDS_EXCLUSIVE", "command_line"],
  ["an argument with a NUL", { args: ["a\0"] }, "FIELD_INVALID", "args[0]"],
  ["a name in env with =", { env: { "A=B": "x" } }, "FIELD_INVALID", "env"],
  ["an unknown user", { user: "no-such-user" }, "USER_UNKNOWN", "user"],
  ["an unknown group", { group: "no-such-group" }, "GROUP_UNKNOWN", "group"],
  ["an empty supplementary group", { supplementaryGroups: [""] }, "FIELD_INVALID", "supplementary_groups[0]"],
  ["a relative work_dir", { workDir: "local" }, "FIELD_INVALID", "work_dir"],
  ["a chroot source that is not allowed", { chroot: { "/root": "/bin" } }, "PATH_FORBIDDEN", "chroot"],
  [
    "a chroot_method that is none",
    { chrootMethod: ChrootMethod.UNRECOGNIZED },
    "FIELD_INVALID",
    "chroot_method",
  ],
  [
    "a mount on /alloc",
    { mounts: [{ source: "/etc", target: "/alloc/x", readOnly: true }] },
    "FIELD_INVALID",
    "mounts[0].target",
  ],
  [
    "a network mode that is none",
    { network: { mode: NetworkMode.UNRECOGNIZED } },
    "FIELD_INVALID",
    "network.mode",
  ],
  ["an ip that is none", { ip: "10.0.0.256" }, "FIELD_INVALID", "ip"],
  ["port 65536", { ports: { http: 65_536 } }, "FIELD_INVALID", "ports"],
  ["a meta key with a space", { meta: { "a b": "x" } }, "FIELD_INVALID", "meta"],
  ["an empty label", { labels: { "": "x" } }, "FIELD_INVALID", "labels"],
  ["a label's value that colours a terminal", { labels: { a: "\x1b[31m" } }, "FIELD_INVALID", "labels"],
  ["a label's value that is too long", { labels: { a: "x".repeat(257) } }, "FIELD_INVALID", "labels"],
  ["a request_id that is too long", { requestId: TOO_LONG }, "FIELD_INVALID", "request_id"],
  ["a request_id with a NUL", { requestId: "\0" }, "FIELD_INVALID", "request_id"],
  ...DURATIONS.flatMap(([what, seconds, nanos]): Row<ConfigureFields>[] => [
    [`a timeout of ${what}`, { timeout: { seconds, nanos } }, "FIELD_INVALID", "timeout"],
    [`a cpu_time_limit of ${what}`, { cpuTimeLimit: { seconds, nanos } }, "FIELD_INVALID", "cpu_time_limit"],
  ]),
];

it.each(CONFIGURE)("refuses, in configure, %s", (_what, configure, reason, field) =>
  refused(configure, {}, reason, `configure.${field}`),
);

const resources = (some: Partial<Resources>): Rest => ({ resources: Resources.fromPartial(some) });

const RESOURCES: readonly Row<Rest>[] = [
  ["resources without one", resources({}), "FIELD_MISSING", "resources"],
  ...(
    [
      ["memory_bytes", { memoryBytes: 0n }, { memoryBytes: 2n ** 63n }],
      [
        "memory_reservation_bytes",
        { memoryReservationBytes: 0n },
        { memoryReservationBytes: 2n ** 64n - 1n },
      ],
      ["cpu_shares", { cpuShares: 1n }, { cpuShares: 262_145n }],
      ["cpu_millis", { cpuMillis: 0n }, { cpuMillis: 2n ** 63n }],
      ["cpuset_cpus", { cpusetCpus: "" }, { cpusetCpus: "0-\n1" }],
      ["io_weight", { ioWeight: 9n }, { ioWeight: 1001n }],
      ["pids_max", { pidsMax: 0n }, { pidsMax: 4_194_305n }],
    ] as const
  ).flatMap(([field, little, much]): Row<Rest>[] => [
    [`a ${field} that is too little`, resources(little), "FIELD_INVALID", `resources.${field}`],
    [`a ${field} that is too much`, resources(much), "FIELD_INVALID", `resources.${field}`],
  ]),
  [
    "a reservation above the limit",
    resources({ memoryBytes: 100n << 20n, memoryReservationBytes: 101n << 20n }),
    "FIELD_INVALID",
    "resources.memory_reservation_bytes",
  ],
];

const file = (some: Partial<InputFile>): InputFile => ({
  path: "/local/a",
  content: Buffer.from("x"),
  mode: 0,
  ...some,
});

const FILES: readonly Row<Rest>[] = [
  ["no path", { files: [file({ path: "" })] }, "FIELD_MISSING", "files[0].path"],
  ...[
    ["a relative path", "local/a"],
    ["a path of the host's", "/etc/passwd"],
    ["/local itself", "/local"],
    ["what only begins as /local", "/locality/a"],
    ["a path in /alloc that is no directory of its", "/alloc/a"],
    ["a path that leads up", "/local/../etc/a"],
    ["a path with a dot", "/local/./a"],
    ["a path with two slashes", "/local//a"],
    ["a path that ends with a slash", "/local/a/"],
    ["a path with a NUL", "/local/a\0"],
    ["a path that is too long", `/local${"/xxxxxxx".repeat(600)}`],
    ["a path with a name that is too long", `/local/${"x".repeat(256)}`],
    ["a path of too many parts", `/local${"/x".repeat(64)}`],
    ["the path of a log", "/local/t.stdout"],
    ["a name that is the helper's own", "/local/.stockade-0"],
  ].map(([what = "", path = ""]): Row<Rest> => [
    what,
    { files: [file({ path: "/local/good" }), file({ path })] },
    "FIELD_INVALID",
    "files[1].path",
  ]),
  ["a set-uid bit", { files: [file({ mode: 0o4755 })] }, "FIELD_INVALID", "files[0].mode"],
  ["the largest mode", { files: [file({ mode: 2 ** 32 - 1 })] }, "FIELD_INVALID", "files[0].mode"],
  ["one path twice", { files: [file({}), file({})] }, "FIELD_INVALID", "files[1].path"],
  ["a file in a file", { files: [file({}), file({ path: "/local/a/b" })] }, "FIELD_INVALID", "files[1].path"],
  [
    "a file in its place",
    { files: [file({ path: "/local/a/b" }), file({})] },
    "FIELD_INVALID",
    "files[1].path",
  ],
  [
    "too many files",
    { files: named("/local/", 1025).map((path) => file({ path })) },
    "FIELD_INVALID",
    "files",
  ],
];

const collect = (path: string, maxBytes = 1n): Rest => ({
  collect: [
    { path: "/local/good", maxBytes: 1n },
    { path, maxBytes },
  ],
});

const COLLECT: readonly Row<Rest>[] = [
  ["to collect no path", collect(""), "FIELD_MISSING", "collect[1].path"],
  ...[
    ["a relative path", "local/a"],
    ["a path of the host's", "/etc/passwd"],
    ["/alloc itself", "/alloc"],
    ["a path that leads up", "/local/../etc/passwd"],
    ["a path that ends with a slash", "/local/a/"],
    ["a path with a NUL", "/local/\0"],
    ["a path that is too long", `/local${"/xxxxxxx".repeat(600)}`],
  ].map(([what = "", path = ""]): Row<Rest> => [
    `to collect ${what}`,
    collect(path),
    "FIELD_INVALID",
    "collect[1].path",
  ]),
  ["to collect nothing of a file", collect("/local/a", 0n), "FIELD_MISSING", "collect[1].max_bytes"],
  [
    "to collect more than 1 GiB",
    collect("/local/a", 2n ** 30n + 1n),
    "FIELD_INVALID",
    "collect[1].max_bytes",
  ],
  [
    "to collect the most there is",
    collect("/local/a", 2n ** 64n - 1n),
    "FIELD_INVALID",
    "collect[1].max_bytes",
  ],
  [
    "to collect too many files",
    { collect: named("/local/", 1025).map((path) => ({ path, maxBytes: 1n })) },
    "FIELD_INVALID",
    "collect",
  ],
];

const HEARTBEAT: readonly Row<Rest>[] = [
  ...DURATIONS,
  ["a nanosecond less than a second", 0n, 999_999_999] as const,
  ["a nanosecond more than a day", 86_400n, 1] as const,
].map(([what, seconds, nanos]): Row<Rest> => [
  `a heartbeat_interval of ${what}`,
  { heartbeatInterval: { seconds, nanos } },
  "FIELD_INVALID",
  "heartbeat_interval",
]);

it.each([...RESOURCES, ...FILES, ...COLLECT, ...HEARTBEAT])("refuses %s", (_what, rest, reason, field) =>
  refused({ taskName: "t" }, rest, reason, field),
);

it("refuses a standard input that no message has room for", async () => {
  using run = new RunStream(daemon, { command: "/bin/cat" }, { stdin: Buffer.alloc(4 << 20) });
  expect(await run.ended).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  expect(run.events).toEqual([]);
});

it("refuses another request with the same request_id, whatever it is that differs", async () => {
  const configure = { allocId: "same", taskName: "same", command: "/bin/true", requestId: "order 66" };
  const rest: Rest = {
    resources: Resources.fromPartial({ memoryBytes: 64n << 20n }),
    files: [file({})],
    stdin: Buffer.from("x"),
    collect: [{ path: "/local/one", maxBytes: 1n }],
    outputMaxBytes: 1n,
    heartbeatInterval: { seconds: 1n, nanos: 0 },
  };
  using first = new RunStream(daemon, configure, rest);
  expect(await first.ended).toBeUndefined();
  untouched = footprint(daemon);
  const others: Rest[] = [
    { ...rest, stdin: Buffer.from("y") },
    { ...rest, stdin: Buffer.of() },
    { ...rest, files: [file({ content: Buffer.from("y") })] },
    { ...rest, files: [file({ mode: 0o600 })] },
    { ...rest, files: [] },
    { ...rest, resources: Resources.fromPartial({ memoryBytes: 65n << 20n }) },
    { ...rest, resources: undefined },
    { ...rest, collect: [{ path: "/local/two", maxBytes: 1n }] },
    { ...rest, collect: [{ path: "/local/one", maxBytes: 2n }] },
    { ...rest, collect: [] },
    { ...rest, outputMaxBytes: 0n },
    { ...rest, outputMaxBytes: undefined },
    { ...rest, detachOnDisconnect: true },
    { ...rest, heartbeatInterval: { seconds: 2n, nanos: 0 } },
  ];
  for (const other of others) {
    using run = new RunStream(daemon, configure, other);
    expect(await run.ended).toMatchObject({
      code: "ALREADY_EXISTS",
      reason: "REQUEST_ID_REUSED",
      field: "configure.request_id",
    });
  }
  using again = new RunStream(daemon, configure, rest);
  expect(await again.ended).toBeUndefined();
  expect(await again.started()).toBe(await first.started());
});

it("after all of it the daemon serves on; the bounds themselves are within", async () => {
  const rest: Rest = {
    files: [file({ path: `/local${"/x".repeat(63)}`, mode: 0o777 })],
    collect: [{ path: "/local/none", maxBytes: 2n ** 30n }],
    outputMaxBytes: 2n ** 64n - 1n,
    heartbeatInterval: { seconds: 86_400n, nanos: 0 },
  };
  const longest = { seconds: 365n * 86_400n, nanos: 0 };
  using run = new RunStream(
    daemon,
    { command: "/bin/cat", timeout: longest },
    { ...rest, stdin: Buffer.from("served\n") },
  );
  expect(await run.ended).toBeUndefined();
  expect(run.text("stdout")).toBe("served\n");
  expect(run.exit).toMatchObject(exited(0));
  await expectNothingLeftSoon(daemon);
  untouched = footprint(daemon);
});
