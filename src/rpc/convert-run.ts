/** Between the messages of Run and the types of `src/tasks/run.ts`. Total in both directions. */
import type { ConfigureRequest, RunRequest, RunResponse } from "../gen/executor/v1/executor.js";
import { missingField, withinField } from "../tasks/errors.js";
import { checkCollect } from "../tasks/request/collect-paths.js";
import { checkFiles } from "../tasks/request/input-files.js";
import { checkLimits } from "../tasks/request/limit-rules.js";
import type * as Run from "../tasks/run.js";
import { fromExit, fromLimits, toConfigureInput, toLimits } from "./convert.js";
import { fromGap, toHeartbeatMs } from "./convert-logs.js";

/** Throws INVALID_ARGUMENT; what is wrong in `configure` is found by Configure. */
export function toRunRequest(request: RunRequest): Run.RunRequest {
  const { configure, resources } = request;
  if (configure === undefined) throw missingField("configure");
  return {
    configure: toConfigure(configure),
    limits: resources === undefined ? undefined : checkLimits(toLimits(resources)),
    files: checkFiles(request.files, configure.taskName),
    stdin: request.stdin.length === 0 ? undefined : request.stdin,
    collect: checkCollect(request.collect),
    outputMaxBytes: request.outputMaxBytes,
    detach: request.detachOnDisconnect,
    heartbeatMs: toHeartbeatMs(request.heartbeatInterval),
  };
}

function toConfigure(request: ConfigureRequest): Run.RunRequest["configure"] {
  try {
    return toConfigureInput(request);
  } catch (error) {
    throw withinField("configure", error);
  }
}

export function fromRunEvent(event: Run.RunEvent): RunResponse {
  return { event: fromEvent(event) };
}

function fromEvent(event: Run.RunEvent): RunResponse["event"] {
  switch (event.kind) {
    case "started": {
      const { id, pid, unenforced, effective } = event;
      return {
        $case: "started",
        value: { id, pid, unenforced: [...unenforced], effective: fromLimits(effective) },
      };
    }
    case "chunk":
      return { $case: event.stream, value: event.data };
    case "gap":
      return { $case: "gap", value: fromGap(event) };
    case "heartbeat":
      return { $case: "heartbeat", value: {} };
    case "file": {
      const { path, sizeBytes, mode, error } = event;
      return { $case: "file", value: { path, sizeBytes, mode, error: error ?? "" } };
    }
    case "fileData":
      return { $case: "fileData", value: event.data };
    case "exit":
      return { $case: "exit", value: fromExit(event.exit) };
  }
}
