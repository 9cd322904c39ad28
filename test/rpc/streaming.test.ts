/** What becomes of a stream whose reader stops, goes or fails: the transport is a stand-in here. */
import { EventEmitter } from "node:events";

import { Metadata, status, type ServerWritableStream, type ServiceError } from "@grpc/grpc-js";

import { setCaller } from "../../src/rpc/access/callers";
import { Calls } from "../../src/rpc/calls";
import { StreamSlots } from "../../src/rpc/stream-slots";
import { streaming, type StreamingMethod } from "../../src/rpc/streaming";
import { LOCAL_ADMIN, type Caller } from "../../src/tasks/access/identity";
import { TaskError } from "../../src/tasks/errors";

/** Takes messages when it is told to. */
class Transport extends EventEmitter {
  readonly request = "";
  readonly metadata = new Metadata();
  readonly written: number[] = [];
  private readonly callbacks: (() => void)[] = [];
  readonly ended: Promise<ServiceError | undefined>;
  end!: () => void;

  constructor(by: Caller = LOCAL_ADMIN) {
    super();
    setCaller(this.metadata, by);
    this.ended = new Promise((resolve) => {
      this.end = () => resolve(undefined);
      this.on("error", resolve);
    });
  }

  write(message: number, written: () => void): boolean {
    this.written.push(message);
    this.callbacks.push(written);
    return true;
  }

  takeAll(): void {
    for (const callback of this.callbacks.splice(0)) callback();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function turns(): Promise<void> {
  for (let count = 0; count < 10; count++) await turn();
}

let calls: Calls;
let slots: StreamSlots;
let reported: unknown[];

beforeEach(() => {
  calls = new Calls();
  slots = new StreamSlots(2);
  reported = [];
});

function begin(method: StreamingMethod<string, number>): Transport {
  const transport = new Transport();
  const report = (error: unknown): void => void reported.push(error);
  streaming(method, { calls, report, slots })(transport as unknown as ServerWritableStream<string, number>);
  return transport;
}

it("asks for no more than one message beyond the one that is being sent", async () => {
  let made = 0;
  const transport = begin(async function* () {
    for (;;) {
      await turn();
      yield made++;
    }
  });
  await turns();
  expect([made, transport.written]).toEqual([2, [0]]);
  transport.takeAll();
  await turns();
  expect([made, transport.written]).toEqual([3, [0, 1]]);
});

it("ends when all has been sent, and not before", async () => {
  const transport = begin(async function* () {
    await turn();
    yield 1;
  });
  let ended = false;
  void transport.ended.then(() => (ended = true));
  await turns();
  expect(ended).toBe(false);
  transport.takeAll();
  expect(await transport.ended).toBeUndefined();
});

it("a caller that goes while a message is on its way ends the method", async () => {
  let left = false;
  const transport = begin(async function* () {
    try {
      for (;;) {
        await turn();
        yield 1;
      }
    } finally {
      left = true;
    }
  });
  await turns();
  transport.emit("cancelled");
  expect(await transport.ended).toMatchObject({ code: status.CANCELLED });
  expect([left, reported]).toEqual([true, []]);
});

it("a TaskError is the stream's status, all else is reported and INTERNAL", async () => {
  const known = begin(() => {
    throw new TaskError({ reason: "LOG_GONE", message: "gone" });
  });
  expect(await known.ended).toMatchObject({ code: status.NOT_FOUND, details: "gone" });
  const defect = new URIError("a path of the host");
  const unknown = begin(async function* () {
    yield 1;
    await turn();
    throw defect;
  });
  await turns();
  unknown.takeAll();
  expect(await unknown.ended).toMatchObject({ code: status.INTERNAL });
  expect(reported).toEqual([defect]);
});

it("the daemon's stop ends every stream, one that has stopped reading too", async () => {
  const transport = begin(async function* () {
    for (;;) {
      await turn();
      yield 1;
    }
  });
  await turns();
  const answered = calls.endAll(new TaskError({ reason: "STOPPING", message: "the daemon is stopping" }));
  expect(await transport.ended).toMatchObject({ code: status.UNAVAILABLE });
  await answered;
});

it("there are no more than may be, and a place is free when one ends", async () => {
  const endless = async function* (_: string, signal: AbortSignal): AsyncGenerator<number> {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    signal.throwIfAborted();
    yield 1;
  };
  const first = begin(endless);
  begin(endless);
  await turns();
  expect(await begin(endless).ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  first.emit("cancelled");
  await first.ended;
  const next = begin(async function* () {
    await turn();
    yield 1;
  });
  await turns();
  expect(next.written).toEqual([1]);
});
