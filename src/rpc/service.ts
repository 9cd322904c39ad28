/** The handlers of ExecutorService: convert, delegate, convert. */
import type { handleUnaryCall, UntypedServiceImplementation } from "@grpc/grpc-js";

import type { ExecutorServiceServer, ListRequest } from "../gen/executor/v1/executor.js";
import { missingField } from "../tasks/errors.js";
import type { Executor } from "../tasks/executor.js";
import type { ServerInfoSource } from "../tasks/server-info.js";
import type { ListPage } from "../tasks/listing/list-page.js";
import { viewOf } from "../tasks/listing/task-view.js";
import { checkLimits } from "../tasks/request/limit-rules.js";
import { run } from "../tasks/run.js";
import { parseGracePeriod, parseSignal } from "../tasks/request/signals.js";
import { fromExit, fromLimits, fromState, toConfigureInput, toLimits, toOpenMode } from "./convert.js";
import { fromLogEvent, toLogsRequest } from "./convert-logs.js";
import { fromRunEvent, toRunRequest } from "./convert-run.js";
import { fromServerInfo } from "./convert-server-info.js";
import { fromView, toListInput } from "./convert-task.js";
import { encodeTask } from "./encode-list.js";
import { streaming, type StreamingParts } from "./streaming.js";
import { unary } from "./unary.js";

type ByName = {
  [Name in keyof ExecutorServiceServer as string extends Name ? never : Name]: ExecutorServiceServer[Name];
};

/** Of `list` the answer is encoded by the handler (encode-list.ts). */
type Handlers = Omit<ByName, "list"> & { readonly list: handleUnaryCall<ListRequest, ListPage> };

export function executorService(
  executor: Executor,
  serverInfo: ServerInfoSource,
  parts: StreamingParts,
): Handlers & UntypedServiceImplementation {
  return {
    configure: unary(async (request, signal, by) => {
      const { id, unenforced } = await executor.configure(toConfigureInput(request), signal, by);
      return { id, unenforced: [...unenforced] };
    }, parts),

    limit: unary(async (request, _signal, by) => {
      const task = executor.get(request.id, by);
      if (request.resources === undefined) throw missingField("resources");
      const limits = checkLimits(toLimits(request.resources));
      const { effective, unenforced } = await task.limit(limits, request.allowUnenforced);
      return { effective: fromLimits(effective), unenforced: [...unenforced] };
    }, parts),

    start: unary(
      async (request, _signal, by) => ({ pid: await executor.get(request.id, by).start() }),
      parts,
    ),

    wait: unary(async (request, signal, by) => {
      const exit = await executor.get(request.id, by).wait(signal);
      return { exit: fromExit(exit) };
    }, parts),

    shutdown: unary(async (request, signal, by) => {
      const task = executor.get(request.id, by);
      const sent = parseSignal(request.signal);
      const exit = await task.shutdown(sent, parseGracePeriod(request.gracePeriod), signal);
      return { exit: fromExit(exit) };
    }, parts),

    forceStop: unary(async (request, signal, by) => {
      const exit = await executor.get(request.id, by).kill("force_stop", signal);
      return { exit: fromExit(exit) };
    }, parts),

    get: unary(
      (request, _signal, by) => Promise.resolve({ task: fromView(viewOf(executor.get(request.id, by))) }),
      parts,
    ),

    list: unary((request, signal, by) => executor.list(toListInput(request), encodeTask, signal, by), parts),

    delete: unary(async (request, _signal, by) => {
      await executor.delete(request.id, by);
      return {};
    }, parts),

    getServerInfo: unary(async () => fromServerInfo(await serverInfo.read()), parts),

    open: unary(async (request, signal, by) => {
      const mode = toOpenMode(request.mode);
      const { state, exit } = await executor.open(request.id, mode, signal, by);
      return { state: fromState(state), exit: exit === undefined ? undefined : fromExit(exit) };
    }, parts),

    logs: streaming(async function* (request, signal, by) {
      for await (const event of executor.logs(request.id, toLogsRequest(request), signal, by)) {
        yield fromLogEvent(event);
      }
    }, parts),

    run: streaming(async function* (request, signal, by) {
      for await (const event of run(executor, toRunRequest(request), signal, by)) yield fromRunEvent(event);
    }, parts),
  };
}
