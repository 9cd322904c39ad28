/** What becomes of a call whose caller goes, or whose answer cannot be sent: the transport is a stand-in here. */
import { EventEmitter, once } from "node:events";

import { status, type sendUnaryData, type ServerUnaryCall, type ServiceError } from "@grpc/grpc-js";

import { unary } from "../../src/rpc/unary";

type Call = ServerUnaryCall<string, string>;

function callOf(request: string): Call {
  return Object.assign(new EventEmitter(), { request }) as unknown as Call;
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
    unary(method, (error) => answers.push(error))(call, callback);
  });
  call.emit("cancelled");
  await answered;
  expect(answers).toEqual([expect.objectContaining({ code: status.CANCELLED })]);
  const [error] = answers as ServiceError[];
  expect(String(error?.metadata.get("grpc-status-details-bin")[0])).toContain("CALL_CANCELLED");
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
    unary(method, (error) => reported.push(error))(callOf("x"), callback);
  });
  expect(answers).toEqual([status.INTERNAL]);
  expect(reported).toContainEqual(new URIError("URI malformed"));
});

it("a call that cannot be answered at all takes nothing else down", async () => {
  const reported: unknown[] = [];
  const callback: sendUnaryData<string> = () => {
    throw new URIError("URI malformed");
  };
  unary(
    () => Promise.resolve("response"),
    (error) => reported.push(error),
  )(callOf("x"), callback);
  // Rejections that nobody takes would end this process.
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(reported).toHaveLength(2);
});
