/** What becomes of a call whose caller goes, or whose answer cannot be sent: the transport is a stand-in here. */
import { EventEmitter, once } from "node:events";

import { Metadata, status, type sendUnaryData, type ServerUnaryCall, type ServiceError } from "@grpc/grpc-js";

import { setCaller } from "../../src/rpc/access/callers";
import { Calls } from "../../src/rpc/calls";
import { unary } from "../../src/rpc/unary";
import { LOCAL_ADMIN } from "../../src/tasks/access/identity";
import { TaskError } from "../../src/tasks/errors";

type Call = ServerUnaryCall<string, string>;

function callOf(request: string): Call {
  const metadata = new Metadata();
  setCaller(metadata, LOCAL_ADMIN);
  return Object.assign(new EventEmitter(), { request, metadata }) as unknown as Call;
}

function fail(error: unknown): never {
  throw error;
}

it("a caller that goes ends what is done for it, with CALL_CANCELLED", async () => {
  const call = callOf("x");
  const answers: unknown[] = [];
  const method = async (_request: string, signal: AbortSignal): Promise<string> => {
    if (!signal.aborted) await once(signal, "abort");
    throw signal.reason as Error;
  };
  const answered = new Promise<void>((resolve) => {
    const callback: sendUnaryData<string> = (error) => resolve(void answers.push(error));
    unary(method, { calls: new Calls(), report: (error) => answers.push(error) })(call, callback);
  });
  call.emit("cancelled");
  await answered;
  expect(answers).toEqual([expect.objectContaining({ code: status.CANCELLED })]);
  const [error] = answers as ServiceError[];
  expect(String(error?.metadata.get("grpc-status-details-bin")[0])).toContain("CALL_CANCELLED");
});

it("who has been answered has not gone: nobody makes an error of it", async () => {
  const call = callOf("x");
  let given: AbortSignal | undefined;
  const method = (_request: string, signal: AbortSignal): Promise<string> => {
    given = signal;
    return Promise.resolve("response");
  };
  await new Promise<void>((resolve) => {
    unary(method, { calls: new Calls(), report: fail })(call, () => resolve());
  });
  await new Promise((resolve) => process.nextTick(resolve));
  call.emit("cancelled");
  expect(given?.aborted).toBe(false);
});

it.each([
  ["a response", () => Promise.resolve("response")],
  ["an error", () => Promise.reject(new Error("problem"))],
])("%s that cannot be sent is reported, and the call is answered with INTERNAL", async (_, method) => {
  const reported: unknown[] = [];
  const answers: (number | string | undefined)[] = [];
  let failures = 1;
  await new Promise<void>((resolve) => {
    const callback: sendUnaryData<string> = (error, response) => {
      if (failures-- > 0) throw new URIError("URI malformed");
      answers.push(error?.code ?? response ?? undefined);
      resolve();
    };
    unary(method, { calls: new Calls(), report: (error) => reported.push(error) })(callOf("x"), callback);
  });
  expect(answers).toEqual([status.INTERNAL]);
  expect(reported).toContainEqual(new URIError("URI malformed"));
});

it("a call that cannot be answered at all takes nothing else down", async () => {
  const reported: unknown[] = [];
  const callback: sendUnaryData<string> = () => {
    throw new URIError("URI malformed");
  };
  unary(() => Promise.resolve("response"), {
    calls: new Calls(),
    report: (error) => reported.push(error),
  })(callOf("x"), callback);
  // Rejections that nobody takes would end this process.
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(reported).toHaveLength(2);
});

it("calls under way, and those that come later, are told that all ends", async () => {
  const calls = new Calls();
  const told: (string | undefined)[] = [];
  const method = async (_request: string, signal: AbortSignal): Promise<string> => {
    await once(signal, "abort");
    throw signal.reason as Error;
  };
  const ask = (): Promise<void> =>
    new Promise((resolve) => {
      const callback: sendUnaryData<string> = (error) => resolve(void told.push(error?.details));
      unary(method, { calls, report: () => undefined })(callOf("x"), callback);
    });
  const before = ask();
  await new Promise((resolve) => setImmediate(resolve));
  const answered = calls.endAll(new TaskError({ reason: "STOPPING", message: "the daemon is stopping" }));
  await Promise.all([before, ask(), answered]);
  expect(told).toEqual(["the daemon is stopping", "the daemon is stopping"]);
});

it("a call that has come past the guard reaches no method", async () => {
  const reported: unknown[] = [];
  let reached = false;
  const call = Object.assign(new EventEmitter(), { request: "x", metadata: new Metadata() });
  const code = await new Promise((resolve) => {
    const callback: sendUnaryData<string> = (error) => resolve(error?.code);
    const method = (): Promise<string> => {
      reached = true;
      return Promise.resolve("response");
    };
    const report = (error: unknown): void => void reported.push(error);
    unary(method, { calls: new Calls(), report })(call as unknown as Call, callback);
  });
  expect([code, reached, reported.length]).toEqual([status.INTERNAL, false, 1]);
});
