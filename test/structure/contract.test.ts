/** That proto/ can grow, and can change nothing of what clients of the last release rely on. */
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import packageJson from "../../package.json";
import { Scratch } from "../support/task-files";

const ROOT = resolve(__dirname, "../..");
const BUF = join(ROOT, "node_modules/.bin/buf");
const RELEASED = "proto/released.txtpb";
const API = "proto/executor/v1/executor.proto";

/** What `make lint` says of the protos after such a change of one; undefined: nothing. */
function complaint(file: string, from: string | RegExp, to: string): string | undefined {
  using scratch = new Scratch();
  for (const name of ["proto", "buf.yaml"]) {
    cpSync(join(ROOT, name), join(scratch.path, name), { recursive: true });
  }
  const path = join(scratch.path, file);
  const before = readFileSync(path, "utf8");
  const after = before.replace(from, to);
  if (after === before && from !== "") throw new Error("the change changes nothing");
  writeFileSync(path, after);
  const { status, stdout, stderr } = spawnSync(BUF, ["breaking", "--against", RELEASED], {
    cwd: scratch.path,
    encoding: "utf8",
  });
  // 100: it has found something; all else is a failure of its own.
  if (status === 100) return stdout;
  if (status !== 0) throw new Error(stderr);
  return undefined;
}

it("make lint holds proto/ against the release", () => {
  expect(readFileSync(join(ROOT, "Makefile"), "utf8")).toMatch(/^\tbuf breaking --against \$\(CONTRACT\)$/m);
});

it("the release is the one that package.json names", () => {
  const [first] = readFileSync(join(ROOT, RELEASED), "utf8").split("\n");
  expect(first).toContain(`Stockade ${packageJson.version},`);
});

it.each([
  ["nothing", API, "", ""],
  ["a new field", API, "message DeleteResponse {}", "message DeleteResponse { bool kept = 1; }"],
  ["a new value of an enum", API, "CGROUP_MODE_V2 = 4;", "CGROUP_MODE_V2 = 4; CGROUP_MODE_V3 = 5;"],
  [
    "a new call",
    API,
    "// Open takes hold",
    "rpc Look(GetRequest) returns (GetResponse);\n// Open takes hold",
  ],
  ["a comment", API, "// What of the network a task sees.", "// What a task sees of the network."],
  [
    "what is not ours",
    "proto/grpc/health/v1/health.proto",
    "  string service = 1;",
    "  reserved 1; string name = 2;",
  ],
])("takes %s", (_what, file, from, to) => {
  expect(complaint(file, from, to)).toBeUndefined();
});

it.each([
  ["a field that is gone", "  int32 page_size = 4;", "", "page_size"],
  ["a field that is gone, its number reserved", "  int32 page_size = 4;", "  reserved 4;", "page_size"],
  ["a field with another number", "page_size = 4;", "page_size = 44;", "page_size"],
  ["a field of another type", "int32 page_size = 4;", "int64 page_size = 4;", "page_size"],
  ["a field with another name", "int32 page_size = 4;", "int32 page_length = 4;", "page_size"],
  ["a field that is repeated now", "int32 page_size = 4;", "repeated int32 page_size = 4;", "page_size"],
  [
    "a field that is not optional any more",
    "optional uint64 output_max_bytes",
    "uint64 output_max_bytes",
    "output_max_bytes",
  ],
  ["a oneof with another name", "oneof from {", "oneof begin {", '"from"'],
  ["a value with another number", "CGROUP_MODE_V2 = 4;", "CGROUP_MODE_V2 = 5;", "CgroupMode"],
  ["a call that is gone", "rpc Delete(DeleteRequest) returns (DeleteResponse);", "", "Delete"],
  [
    "a call that is no stream any more",
    "rpc Logs(LogsRequest) returns (stream LogsResponse)",
    "rpc Logs(LogsRequest) returns (LogsResponse)",
    "Logs",
  ],
  ["a message with another name", /\bLogBegin\b/g, "LogStart", "LogBegin"],
  ["another package", "package executor.v1;", "package executor.v1beta1;", "executor.v1"],
])("refuses %s", (_what, from, to, named) => {
  expect(complaint(API, from, to)).toContain(named);
});
