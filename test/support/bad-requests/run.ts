/** Changes of a RunRequest that would be taken, after which it is refused. */
import {
  ChrootMethod,
  NetworkMode,
  Resources,
  type ConfigureFields,
  type InputFile,
  type RunRequest,
} from "../../../src/client";
import { TOO_LONG, type Row } from "./row";

export type Rest = Partial<Omit<RunRequest, "configure">>;

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
export const CONFIGURE: readonly Row<ConfigureFields>[] = [
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

const resources = (some: Partial<Resources>): Rest => ({ resources: Resources.fromPartial(some) });

export const RESOURCES: readonly Row<Rest>[] = [
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

export const file = (some: Partial<InputFile>): InputFile => ({
  path: "/local/a",
  content: Buffer.from("x"),
  mode: 0,
  ...some,
});

export const FILES: readonly Row<Rest>[] = [
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

export const COLLECT: readonly Row<Rest>[] = [
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

export const HEARTBEAT: readonly Row<Rest>[] = [
  ...DURATIONS,
  ["a nanosecond less than a second", 0n, 999_999_999] as const,
  ["a nanosecond more than a day", 86_400n, 1] as const,
].map(([what, seconds, nanos]): Row<Rest> => [
  `a heartbeat_interval of ${what}`,
  { heartbeatInterval: { seconds, nanos } },
  "FIELD_INVALID",
  "heartbeat_interval",
]);
