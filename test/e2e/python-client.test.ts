/** Any language's: a client in Python, of the stubs that grpcio-tools makes of the .proto files. */
import { execFile } from "node:child_process";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { TestDaemon } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires, PYTHON_PACKAGES } from "../support/requires";

const run = promisify(execFile);
const ROOT = resolve(__dirname, "../..");

itRequires(["root", "cgroups", "grpcio-tools"], "does a run, a follow, and a re-attach", async () => {
  await using daemon = await TestDaemon.start();
  const stubs = join(daemon.daemon.directory, "stubs");
  const env = { ...process.env, PYTHONPATH: `${join(ROOT, PYTHON_PACKAGES)}:${stubs}` };
  const protos = ["executor/v1/executor.proto", "google/rpc/error_details.proto", "google/rpc/status.proto"];
  const into = ["-I", join(ROOT, "proto"), `--python_out=${stubs}`, `--grpc_python_out=${stubs}`];
  await run("mkdir", [stubs]);
  await run("python3", ["-m", "grpc_tools.protoc", ...into, ...protos], { env });

  const script = join(ROOT, "test/fixtures/client.py");
  const { stdout } = await run("python3", [script, daemon.daemon.address], { env });
  expect(JSON.parse(stdout)).toEqual({
    run: { stdout: "out\n", exit_code: 3, reason: "EXIT_REASON_EXITED" },
    state: "TASK_STATE_RUNNING",
    output: "line 1\nline 2\nline 3\nline 4\nline 5\n",
    exit_code: 4,
    same_exit: true,
    error: { code: "INVALID_ARGUMENT", field: "id" },
  });
  await expectNothingLeft(daemon);
});
