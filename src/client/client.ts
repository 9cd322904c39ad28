/** The six calls and Open as promises. */
import {
  credentials,
  Metadata,
  type CallOptions,
  type ClientUnaryCall,
  type ServiceError,
} from "@grpc/grpc-js";

import {
  ExecutorServiceClient,
  ForceStopRequest,
  LimitRequest,
  OpenRequest,
  ShutdownRequest,
  StartRequest,
  WaitRequest,
  type ConfigureResponse,
  type ForceStopResponse,
  type LimitResponse,
  type OpenResponse,
  type ShutdownResponse,
  type StartResponse,
  type WaitResponse,
} from "../gen/executor/v1/executor.js";
import { toConfigureRequest, type ConfigureFields } from "./configure-fields.js";
import { StockadeError } from "./error.js";

export interface CallSettings {
  /** Cancels the call. */
  readonly signal?: AbortSignal;
  /** The call's deadline, in milliseconds from now. */
  readonly timeoutMs?: number;
}

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** How long one look at the connection may take, in milliseconds. */
const READY_WAIT_MS = 250;

/**
 * A connection to one daemon. Every call rejects with a StockadeError.
 * Close it when done: it keeps the process alive.
 */
export class StockadeClient implements Disposable {
  private readonly rpc: ExecutorServiceClient;
  private closed = false;

  /** @param address "unix:<path>" or "<host>:<port>" */
  constructor(address: string) {
    this.rpc = new ExecutorServiceClient(address, credentials.createInsecure());
  }

  configure(request: ConfigureFields, settings?: CallSettings): Promise<ConfigureResponse> {
    return this.call(this.rpc.configure.bind(this.rpc), toConfigureRequest(request), settings);
  }

  limit(request: Partial<LimitRequest>, settings?: CallSettings): Promise<LimitResponse> {
    return this.call(this.rpc.limit.bind(this.rpc), LimitRequest.fromPartial(request), settings);
  }

  start(id: string, settings?: CallSettings): Promise<StartResponse> {
    return this.call(this.rpc.start.bind(this.rpc), StartRequest.fromPartial({ id }), settings);
  }

  wait(id: string, settings?: CallSettings): Promise<WaitResponse> {
    return this.call(this.rpc.wait.bind(this.rpc), WaitRequest.fromPartial({ id }), settings);
  }

  shutdown(request: Partial<ShutdownRequest>, settings?: CallSettings): Promise<ShutdownResponse> {
    const whole = ShutdownRequest.fromPartial(request);
    return this.call(this.rpc.shutdown.bind(this.rpc), whole, settings);
  }

  forceStop(id: string, settings?: CallSettings): Promise<ForceStopResponse> {
    const request = ForceStopRequest.fromPartial({ id });
    return this.call(this.rpc.forceStop.bind(this.rpc), request, settings);
  }

  open(request: Partial<OpenRequest>, settings?: CallSettings): Promise<OpenResponse> {
    return this.call(this.rpc.open.bind(this.rpc), OpenRequest.fromPartial(request), settings);
  }

  /** Resolves when the daemon can be reached; rejects after `timeoutMs`, or once the client is closed. */
  async ready(timeoutMs: number): Promise<void> {
    const end = Date.now() + timeoutMs;
    // In short waits: one that is under way holds the process, closed or not.
    while (!this.closed && Date.now() < end) {
      if (await this.readyBy(Math.min(end, Date.now() + READY_WAIT_MS))) return;
    }
    throw new Error(this.closed ? "the client is closed" : "the daemon cannot be reached");
  }

  close(): void {
    this.closed = true;
    this.rpc.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private readyBy(deadline: number): Promise<boolean> {
    return new Promise((resolve) => {
      this.rpc.waitForReady(deadline, (error) => resolve(error === undefined));
    });
  }

  private call<Request, Response>(
    method: Unary<Request, Response>,
    request: Request,
    settings: CallSettings = {},
  ): Promise<Response> {
    const { signal, timeoutMs } = settings;
    return new Promise((resolve, reject) => {
      const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
      const call = method(request, new Metadata(), options, (error, response) => {
        signal?.removeEventListener("abort", cancel);
        if (error === null) resolve(response);
        else reject(new StockadeError(error));
      });
      const cancel = (): void => call.cancel();
      if (signal?.aborted === true) cancel();
      else signal?.addEventListener("abort", cancel, { once: true });
    });
  }
}
