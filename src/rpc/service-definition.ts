/** How the messages of ExecutorService become bytes, and bytes messages: the generated way, but for what is said here. */
import * as api from "../gen/executor/v1/executor.js";
import { strictly } from "./decode-request.js";
import { encodePage } from "./encode-list.js";
import { encodeLogsResponse } from "./encode-logs.js";
import { encodeRunResponse } from "./encode-run.js";

const GENERATED = api.ExecutorServiceService;

export const SERVICE = {
  configure: strictly(GENERATED.configure, api.ConfigureRequest),
  limit: strictly(GENERATED.limit, api.LimitRequest),
  start: strictly(GENERATED.start, api.StartRequest),
  wait: strictly(GENERATED.wait, api.WaitRequest),
  shutdown: strictly(GENERATED.shutdown, api.ShutdownRequest),
  forceStop: strictly(GENERATED.forceStop, api.ForceStopRequest),
  get: strictly(GENERATED.get, api.GetRequest),
  list: { ...strictly(GENERATED.list, api.ListRequest), responseSerialize: encodePage },
  delete: strictly(GENERATED.delete, api.DeleteRequest),
  getServerInfo: strictly(GENERATED.getServerInfo, api.GetServerInfoRequest),
  open: strictly(GENERATED.open, api.OpenRequest),
  logs: { ...strictly(GENERATED.logs, api.LogsRequest), responseSerialize: encodeLogsResponse },
  run: { ...strictly(GENERATED.run, api.RunRequest), responseSerialize: encodeRunResponse },
} satisfies Record<keyof typeof GENERATED, unknown>;
