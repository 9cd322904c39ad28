/** Which calls are made again, when, and for how long. */
import { localError, StockadeError } from "../../src/client/error";
import { Backoff, isCutOff, retried } from "../../src/client/retry";
import { toServiceError } from "../../src/rpc/status";
import { TaskError } from "../../src/tasks/errors";

const GONE = localError("UNAVAILABLE", "no connection");
const STOPPING = new StockadeError(toServiceError(new TaskError({ reason: "STOPPING", message: "x" })));
const REFUSED = new StockadeError(toServiceError(new TaskError({ reason: "FIELD_INVALID", message: "x" })));

/** Fails with each of the errors, and answers then. */
function failing(...errors: readonly unknown[]): { calls: number; attempt: () => Promise<string> } {
  const left = [...errors];
  const made = {
    calls: 0,
    attempt: async () => {
      made.calls++;
      if (left.length > 0) throw left.shift() as Error;
      return "answer";
    },
  };
  return made;
}

it("pauses double up to a most, each shortened by up to a half", () => {
  const long = new Backoff(() => 0);
  const pauses = Array.from({ length: 8 }, () => long.next(GONE));
  expect(pauses).toEqual([40, 80, 160, 320, 640, 1280, 2000, 2000]);
  const short = new Backoff(() => 1);
  expect([short.next(GONE), short.next(GONE)]).toEqual([20, 40]);
  long.reset();
  expect(long.next(GONE)).toBe(40);
});

it("a pause is no shorter than the daemon has asked for", () => {
  expect(STOPPING.retryDelayMs).toBe(1_000);
  expect(new Backoff(() => 1).next(STOPPING)).toBe(1_020);
});

it.each([
  ["UNAVAILABLE", GONE, true],
  ["STOPPING", STOPPING, true],
  ["what the daemon has refused", REFUSED, false],
  ["a reset of HTTP/2", localError("INTERNAL", "RST_STREAM"), true],
  [
    "a certificate that is not trusted",
    localError(
      "UNAVAILABLE",
      "No connection established. Last error: Error: self-signed certificate. Resolution note: ",
    ),
    false,
  ],
  [
    "a server that refuses ours",
    localError(
      "UNAVAILABLE",
      "No connection established. Last error: Error: tlsv13 alert certificate required:SSL alert number 116\n. Resolution note: ",
    ),
    false,
  ],
  [
    "a server that speaks TLS otherwise",
    localError(
      "UNAVAILABLE",
      "No connection established. Last error: Error: alert handshake failure:SSL alert number 40\n. Resolution note: ",
    ),
    true,
  ],
  ["a client that is closed", localError("CANCELLED", "closed", { reason: "CLIENT_CLOSED" }), false],
  ["a deadline", localError("DEADLINE_EXCEEDED", "too late"), false],
  ["a defect of the daemon", new StockadeError(toServiceError(new Error("x"))), false],
  ["a defect of ours", new TypeError("x"), false],
])("%s: cut off or not", (_name, error, cut) => {
  expect(isCutOff(error)).toBe(cut);
});

it("a call that is cut off is made again until it is answered", async () => {
  const call = failing(GONE, GONE, GONE);
  await expect(retried(call.attempt, { retryMs: 60_000, signal: undefined })).resolves.toBe("answer");
  expect(call.calls).toBe(4);
});

it("a call that is refused is not made again", async () => {
  const call = failing(REFUSED);
  await expect(retried(call.attempt, { retryMs: 60_000, signal: undefined })).rejects.toBe(REFUSED);
  expect(call.calls).toBe(1);
});

it("without time for it no call is made again", async () => {
  const call = failing(GONE);
  await expect(retried(call.attempt, { retryMs: 0, signal: undefined })).rejects.toBe(GONE);
  expect(call.calls).toBe(1);
});

it("one that is answered by what is no daemon is made again a few times, however much time there is", async () => {
  const odd = localError("INTERNAL", "Received HTTP status code 400");
  const call = failing(...Array.from({ length: 20 }, () => odd));
  await expect(retried(call.attempt, { retryMs: Infinity, signal: undefined })).rejects.toBe(odd);
  expect(call.calls).toBe(5);
});

it.each([
  ["was connected: to be cut off then is another loss", "Connection dropped", 3],
  ["has found nobody, and is no reason to go on", "No connection established. Last error: ETIMEDOUT", 1],
])("an attempt that took long %s", async (_name, message, calls) => {
  const clock = jest.spyOn(performance, "now").mockReturnValue(0);
  let made = 0;
  const attempt = (): Promise<never> => {
    clock.mockReturnValue(++made * 60_000);
    return Promise.reject(made < 3 ? localError("UNAVAILABLE", message) : REFUSED);
  };
  try {
    await expect(retried(attempt, { retryMs: 1_000, firstRetryMs: 0 })).rejects.toBeInstanceOf(StockadeError);
  } finally {
    clock.mockRestore();
  }
  expect(made).toBe(calls);
});

it("who gives up is told at once, in a pause too", async () => {
  const caller = new AbortController();
  let calls = 0;
  const call = {
    attempt: () => {
      calls++;
      setImmediate(() => caller.abort());
      return Promise.reject(STOPPING);
    },
  };
  await expect(retried(call.attempt, { retryMs: Infinity, signal: caller.signal })).rejects.toBe(STOPPING);
  expect(calls).toBeLessThanOrEqual(2);
});

it("an error of the client itself has a code, and no reason", () => {
  const error = localError("CANCELLED", "given up", { cause: new Error("why") });
  expect(error).toMatchObject({
    code: "CANCELLED",
    reason: undefined,
    field: undefined,
    message: "given up",
  });
  expect((error.cause as Error).message).toBe("why");
});
