/** How the messages of ExecutorService become bytes, and bytes messages: the generated way, but for what is said here. */
import * as api from "../gen/executor/v1/executor.js";
import { strictly } from "./decode-request.js";
import { encodePage } from "./encode-list.js";
import { encodeLogsResponse } from "./encode-logs.js";
import { encodeRunResponse } from "./encode-run.js";
import { SHAPES } from "./request-shape.js";

const GENERATED = api.ExecutorServiceService;

export const SERVICE = {
  configure: strictly(GENERATED.configure, api.ConfigureRequest, SHAPES.ConfigureRequest),
  limit: strictly(GENERATED.limit, api.LimitRequest, SHAPES.LimitRequest),
  start: strictly(GENERATED.start, api.StartRequest, SHAPES.StartRequest),
  wait: strictly(GENERATED.wait, api.WaitRequest, SHAPES.WaitRequest),
  shutdown: strictly(GENERATED.shutdown, api.ShutdownRequest, SHAPES.ShutdownRequest),
  forceStop: strictly(GENERATED.forceStop, api.ForceStopRequest, SHAPES.ForceStopRequest),
  get: strictly(GENERATED.get, api.GetRequest, SHAPES.GetRequest),
  list: { ...strictly(GENERATED.list, api.ListRequest, SHAPES.ListRequest), responseSerialize: encodePage },
  delete: strictly(GENERATED.delete, api.DeleteRequest, SHAPES.DeleteRequest),
  getServerInfo: strictly(GENERATED.getServerInfo, api.GetServerInfoRequest, SHAPES.GetServerInfoRequest),
  open: strictly(GENERATED.open, api.OpenRequest, SHAPES.OpenRequest),
  logs: {
    ...strictly(GENERATED.logs, api.LogsRequest, SHAPES.LogsRequest),
    responseSerialize: encodeLogsResponse,
  },
  run: {
    ...strictly(GENERATED.run, api.RunRequest, SHAPES.RunRequest),
    responseSerialize: encodeRunResponse,
  },
} satisfies Record<keyof typeof GENERATED, unknown>;
