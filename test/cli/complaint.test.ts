/** What people are told of an error: what has failed, and what to do next. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, resolve } from "node:path";

import { complaint, FIELD_FLAGS } from "../../src/cli/complaint";
import { HOST_FLAGS } from "../../src/cli/host";
import { RUN_FLAGS } from "../../src/cli/run-flags";
import { ERROR_REASONS, StockadeError } from "../../src/client";
import { toServiceError } from "../../src/rpc/status";
import { TaskError, type ErrorReason } from "../../src/tasks/errors";

/** The reasons that nobody meets who types, and why. */
const NEVER_MET: readonly ErrorReason[] = [
  // No verb starts a task that another call has made.
  "ALREADY_STARTED",
  // Each run has an id of its own, made at random.
  "REQUEST_ID_REUSED",
  // Whoever has gone hears no more; and no verb has a deadline.
  "CALL_CANCELLED",
];

function said(reason: ErrorReason): string {
  const error = toServiceError(new TaskError({ reason, message: "this has failed" }));
  return complaint(new StockadeError(error), "unix:/sock", "run");
}

it.each(ERROR_REASONS.filter((reason) => !NEVER_MET.includes(reason)))("%s: what to do next", (reason) => {
  expect(said(reason)).toMatch(/^this has failed; ./);
});

it.each(NEVER_MET)("%s is of no verb, and has no advice", (reason) => {
  expect(said(reason)).toBe("this has failed");
});

it("a command that takes more memory than it may use is to be given more", () => {
  const metadata = { errno: "ENOMEM" };
  const error = toServiceError(new TaskError({ reason: "COMMAND_NOT_EXECUTABLE", message: "x", metadata }));
  expect(complaint(new StockadeError(error), "unix:/sock", "run")).toBe("x; give it more by --memory");
});

it.each([
  ["configure.alloc_id", "alloc_id must match x (--alloc, or --name without it); see 'stockade run --help'"],
  ["configure.mounts[0].source", "mounts[0].source must match x (--volume); see 'stockade run --help'"],
  ["resources.cpu_millis", "cpu_millis must match x (--cpus); see 'stockade run --help'"],
  ["files[0].path", "path must match x (--file); see 'stockade run --help'"],
  // What is no flag's.
  ["configure.request_id", "request_id must match x (configure.request_id); see 'stockade run --help'"],
  ["page_token", "page_token must match x; see 'stockade run --help'"],
])("a field is called by the flag that sets it: %s", (field, words) => {
  const message = `${field.replace(/^(configure|resources|files\[0\])\./, "")} must match x`;
  const error = toServiceError(new TaskError({ reason: "FIELD_INVALID", field, message }));
  expect(complaint(new StockadeError(error), "unix:/sock", "run")).toBe(words);
});

it("each field of a flag is one that there is, and each flag too", () => {
  const messages = readFileSync(resolve(__dirname, "../../proto/executor/v1/executor.proto"), "utf8");
  for (const [name, flag] of Object.entries(FIELD_FLAGS)) {
    expect(messages).toMatch(new RegExp(`^ .* ${name} = [0-9]+;`, "m"));
    for (const [, word] of flag.matchAll(/--([a-z-]+)/g)) expect(Object.keys(RUN_FLAGS)).toContain(word);
  }
});

it("a path that may be mounted read-only is to be", () => {
  const field = "configure.mounts[0].source";
  const message = "mounts[0].source is no path that configuration allows tasks to write";
  const error = toServiceError(new TaskError({ reason: "PATH_FORBIDDEN", field, message }));
  expect(complaint(new StockadeError(error), "unix:/sock", "run")).toContain(
    "(--volume); SRC:DST:ro mounts it read-only, and the daemon's",
  );
});

it("advice names flags and verbs that there are", () => {
  const flags = Object.keys({ ...RUN_FLAGS, ...HOST_FLAGS, help: true });
  const verbs = readdirSync(resolve(__dirname, "../../src/cli/verbs")).map((file) => basename(file, ".ts"));
  for (const advice of ERROR_REASONS.map(said)) {
    for (const [, flag] of advice.matchAll(/--([a-z-]+)/g)) expect(flags).toContain(flag);
    for (const [, verb] of advice.matchAll(/'stockade ([a-z]+)/g)) expect(verbs).toContain(verb);
  }
});
