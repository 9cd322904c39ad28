/** Calls of the API as a person makes them by hand: each is shown, and its answer. */
import {
  ConfigureRequest,
  ConfigureResponse,
  ForceStopRequest,
  ForceStopResponse,
  LimitRequest,
  LimitResponse,
  OpenRequest,
  OpenResponse,
  Resources,
  ShutdownRequest,
  ShutdownResponse,
  StartRequest,
  StartResponse,
  WaitRequest,
  WaitResponse,
  type Exit,
  type StockadeClient,
  type TaskState,
} from "../client/index.js";

/** A line of the demo's. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

interface Json<T> {
  toJSON(message: T): unknown;
}

/** Shows a call as grpcurl would take it, and its answer as grpcurl would print it. */
async function shown<Request, Response>(
  name: string,
  request: readonly [Json<Request>, Request],
  response: Json<Response>,
  call: Promise<Response>,
): Promise<Response> {
  const [type, message] = request;
  print(`\n> ${name} ${JSON.stringify(type.toJSON(message), undefined, 2)}`);
  const answer = await call;
  print(JSON.stringify(response.toJSON(answer), undefined, 2));
  return answer;
}

/** The calls, each shown with its answer. */
export class ShownCalls {
  constructor(private readonly client: StockadeClient) {}

  async configure(taskName: string, script: string): Promise<string> {
    const request = ConfigureRequest.fromPartial({
      allocId: "demo",
      taskName,
      command: "/bin/sh",
      args: ["-c", script],
      allowUnenforced: true,
    });
    const answer = await shown(
      "Configure",
      [ConfigureRequest, request],
      ConfigureResponse,
      this.client.configure(request),
    );
    return answer.id;
  }

  /** Answers the names of the limits that are not in force. */
  async limit(id: string, limits: Partial<Resources>): Promise<ReadonlySet<string>> {
    const resources = Resources.fromPartial(limits);
    const request = LimitRequest.fromPartial({ id, resources, allowUnenforced: true });
    const answer = await shown("Limit", [LimitRequest, request], LimitResponse, this.client.limit(request));
    return new Set(answer.unenforced.map(({ name }) => name));
  }

  async start(id: string): Promise<void> {
    await shown("Start", [StartRequest, { id }], StartResponse, this.client.start(id));
  }

  async wait(id: string): Promise<Exit | undefined> {
    return (await shown("Wait", [WaitRequest, { id }], WaitResponse, this.client.wait(id))).exit;
  }

  async forceStop(id: string): Promise<Exit | undefined> {
    const call = this.client.forceStop(id);
    return (await shown("ForceStop", [ForceStopRequest, { id }], ForceStopResponse, call)).exit;
  }

  async shutdown(id: string): Promise<Exit | undefined> {
    const request = ShutdownRequest.fromPartial({ id });
    const call = this.client.shutdown(request);
    return (await shown("Shutdown", [ShutdownRequest, request], ShutdownResponse, call)).exit;
  }

  async open(id: string): Promise<TaskState> {
    const request = OpenRequest.fromPartial({ id });
    return (await shown("Open", [OpenRequest, request], OpenResponse, this.client.open(request))).state;
  }
}
