/** Requests of Limit, Shutdown and List that are refused, all else being as it should be. */
import { TaskState, type ListFields, type Resources, type ShutdownRequest } from "../../../src/client";
import { TOO_LONG, type Row } from "./row";

interface LimitInput {
  readonly id: string;
  readonly resources: Partial<Resources>;
}

export const LIMIT: readonly Row<Partial<LimitInput>>[] = [
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

export const SHUTDOWN: readonly Row<Partial<ShutdownRequest>>[] = [
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

/** Of the right form. */
const FORGED_TOKEN = Buffer.alloc(32, "forged").toString("base64url");

export const LIST: readonly Row<ListFields>[] = [
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
