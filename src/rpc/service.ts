/** The handlers of ExecutorService: convert, delegate, convert. */
import type { UntypedServiceImplementation } from "@grpc/grpc-js";

import type { ExecutorServiceServer } from "../gen/executor/v1/executor.js";
import { missingField } from "../tasks/errors.js";
import type { Executor } from "../tasks/executor.js";
import { checkLimits } from "../tasks/request/limit-rules.js";
import { parseGracePeriod, parseSignal } from "../tasks/request/signals.js";
import { fromExit, fromLimits, fromState, toConfigureInput, toLimits, toOpenMode } from "./convert.js";
import { unary } from "./unary.js";

export function executorService(
  executor: Executor,
  report: (error: unknown) => void,
): ExecutorServiceServer & UntypedServiceImplementation {
  return {
    configure: unary(async (request, signal) => {
      const { id, unenforced } = await executor.configure(toConfigureInput(request), signal);
      return { id, unenforced: [...unenforced] };
    }, report),

    limit: unary(async (request) => {
      const task = executor.get(request.id);
      if (request.resources === undefined) throw missingField("resources");
      const limits = checkLimits(toLimits(request.resources));
      const { effective, unenforced } = await task.limit(limits, request.allowUnenforced);
      return { effective: fromLimits(effective), unenforced: [...unenforced] };
    }, report),

    start: unary(async (request) => ({ pid: await executor.get(request.id).start() }), report),

    wait: unary(async (request, signal) => {
      const exit = await executor.get(request.id).wait(signal);
      return { exit: fromExit(exit) };
    }, report),

    shutdown: unary(async (request, signal) => {
      const task = executor.get(request.id);
      const sent = parseSignal(request.signal);
      const exit = await task.shutdown(sent, parseGracePeriod(request.gracePeriod), signal);
      return { exit: fromExit(exit) };
    }, report),

    forceStop: unary(async (request, signal) => {
      const exit = await executor.get(request.id).kill("force_stop", signal);
      return { exit: fromExit(exit) };
    }, report),

    open: unary(async (request, signal) => {
      const mode = toOpenMode(request.mode);
      const { state, exit } = await executor.open(request.id, mode, signal);
      return { state: fromState(state), exit: exit === undefined ? undefined : fromExit(exit) };
    }, report),
  };
}
