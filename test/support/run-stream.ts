/** Run as a client of the generated code has it, with what has come of the stream. */
import {
  credentials,
  Metadata,
  type ChannelCredentials,
  type ChannelOptions,
  type ClientReadableStream,
  type ServiceError,
} from "@grpc/grpc-js";

import { ExecutorServiceClient, RunRequest, type Exit, type RunResponse } from "../../src/client";
import { StockadeError } from "../../src/client/error";
import { toConfigureRequest, type ConfigureFields } from "../../src/client/configure-fields";
import { isRoot, type TestDaemon } from "./daemon";

type Event = NonNullable<RunResponse["event"]>;

/** A daemon, and names in it that nobody else uses. */
type Target = Pick<TestDaemon, "freshName"> & { readonly daemon: Pick<TestDaemon["daemon"], "address"> };

interface Options {
  readonly deadline?: number;
  /** Default: none, and no encryption. */
  readonly credentials?: ChannelCredentials;
  readonly channel?: ChannelOptions;
}

export class RunStream implements Disposable {
  readonly events: Event[] = [];
  /** Settles when the stream has ended; undefined: with OK. */
  readonly ended: Promise<StockadeError | undefined>;
  private readonly client: ExecutorServiceClient;
  private readonly call: ClientReadableStream<RunResponse>;
  private readonly startedPromise: Promise<string>;

  /** Runs a shell script, in an alloc of its own unless the request names one. */
  constructor(
    daemon: Target,
    configure: ConfigureFields,
    rest: Partial<Omit<RunRequest, "configure">> = {},
    { credentials: by = credentials.createInsecure(), channel, ...options }: Options = {},
  ) {
    const name = daemon.freshName();
    this.client = new ExecutorServiceClient(daemon.daemon.address, by, {
      ...channel,
      "grpc.use_local_subchannel_pool": 1,
    });
    const whole = { allocId: name, taskName: name, allowUnenforced: !isRoot(), ...configure };
    const request = RunRequest.fromPartial({ ...rest });
    this.call = this.client.run(
      { ...request, configure: toConfigureRequest(whole) },
      new Metadata(),
      options,
    );
    let started: (id: string) => void;
    this.startedPromise = new Promise((resolve) => (started = resolve));
    this.ended = new Promise((resolve) => {
      this.call.on("error", (error) => resolve(new StockadeError(error as ServiceError)));
      this.call.on("end", () => resolve(undefined));
    });
    this.call.on("data", ({ event }: RunResponse) => {
      if (event === undefined) return;
      this.events.push(event);
      if (event.$case === "started") started(event.value.id);
    });
  }

  /** Resolves with the id once the command runs; rejects where the stream ends before. */
  async started(): Promise<string> {
    const ended = this.ended.then((error) => Promise.reject(error ?? new Error("it has ended")));
    return Promise.race([this.startedPromise, ended]);
  }

  text(stream: "stdout" | "stderr"): string {
    const parts = this.events.flatMap((event) => (event.$case === stream ? [event.value] : []));
    return Buffer.concat(parts).toString("latin1");
  }

  /** The last message, where it is an exit. */
  get exit(): Exit | undefined {
    const last = this.events.at(-1);
    return last?.$case === "exit" ? last.value : undefined;
  }

  /** Reads no more, until `resume`. */
  pause(): void {
    this.call.pause();
  }

  resume(): void {
    this.call.resume();
  }

  cancel(): void {
    this.call.cancel();
  }

  [Symbol.dispose](): void {
    this.call.cancel();
    this.client.close();
  }
}
