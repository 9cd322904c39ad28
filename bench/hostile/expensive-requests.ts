/** Requests that cost a server most: each has the longest list of one kind that is accepted, or as many bytes. */
import * as api from "../../src/gen/executor/v1/executor.js";
import { FILES_MAX } from "../../src/tasks/request/input-files.js";
import { ARGS_MAX, ENTRIES_MAX, GROUPS_MAX, MOUNTS_MAX } from "../../src/tasks/request/spec.js";

export interface ExpensiveRequest {
  readonly method: string;
  /** For a task of an alloc of its own. */
  readonly body: (allocId: string) => Buffer;
}

/** The bytes of a request are at most 4 MiB; so many leave room for all but a list's own. */
const BYTES = 4_000_000;

/** As gRPC frames it: not compressed, its length, itself. */
export function messageOf(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

export function expensiveRequests(): readonly [ExpensiveRequest, ...ExpensiveRequest[]] {
  const list = (count: number, bytes = 0): string[] =>
    Array.from({ length: count }, (_, at) => `v${at}`.padEnd(bytes, "x"));
  const map = <T>(count: number, value: (at: number) => T): Map<string, T> =>
    new Map(list(count).map((key, at) => [key, value(at)]));
  return [
    configure({ args: list(ARGS_MAX, 50) }),
    configure({ env: map(ENTRIES_MAX, () => "x".repeat(400)) }),
    configure({ ports: map(ENTRIES_MAX, (at) => 1 + at) }),
    configure({ meta: map(ENTRIES_MAX, () => "x".repeat(400)) }),
    configure({ supplementaryGroups: Array.from({ length: GROUPS_MAX }, () => "1000") }),
    configure({ chroot: map(MOUNTS_MAX, (at) => `/v${at}`) }),
    configure({ command: "", commandLine: "a ".repeat(60_000) }),
    run({
      files: Array.from({ length: FILES_MAX }, (_, at) => ({
        path: `/local/f${at}`,
        content: Buffer.alloc(100),
        mode: 0,
      })),
    }),
    run({ stdin: Buffer.alloc(BYTES) }),
  ];
}

const TASK = { taskName: "t", command: "/bin/true" };

function configure(fields: Partial<api.ConfigureRequest>): ExpensiveRequest {
  const most = api.ConfigureRequest.encode(api.ConfigureRequest.fromPartial({ ...TASK, ...fields })).finish();
  // Of a field that is there twice the last one counts.
  const body = (allocId: string): Buffer =>
    Buffer.concat([
      most,
      api.ConfigureRequest.encode(api.ConfigureRequest.fromPartial({ allocId })).finish(),
    ]);
  return { method: "Configure", body };
}

function run(fields: Partial<api.RunRequest>): ExpensiveRequest {
  const body = (allocId: string): Buffer =>
    Buffer.from(
      api.RunRequest.encode(
        api.RunRequest.fromPartial({ configure: { ...TASK, allocId }, ...fields }),
      ).finish(),
    );
  return { method: "Run", body };
}
