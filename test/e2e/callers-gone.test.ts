/** Callers that go, by their deadlines, leave nothing in the daemon for as long as their task runs. */
import { credentials, Metadata, type ServiceError } from "@grpc/grpc-js";

import { ExecutorServiceClient } from "../../src/gen/executor/v1/executor";
import { TestDaemon } from "../support/daemon";
import { died, exitOf } from "../support/exits";
import { expectNothingLeft } from "../support/leftovers";
import { SLOW } from "../support/requires";

/** Less than the calls would take of it, at 7 kB each. */
const HEAP_MB = 40;
const CALLS = 8_000;
const AT_ONCE = 200;
/** A server of HTTP/2 closes a connection on which so many streams are reset in a burst: 1000. */
const PER_CONNECTION = 800;

/** Enough for a call to reach the daemon. */
const DEADLINE_MS = 40;
const A_DAY = { seconds: 86_400n, nanos: 0 };

let daemon: TestDaemon;

beforeEach(async () => {
  const env = { ...process.env, NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` };
  daemon = await TestDaemon.start({}, undefined, env);
});

afterEach(async () => {
  try {
    await expectNothingLeft(daemon);
  } finally {
    await daemon?.[Symbol.asyncDispose]();
  }
});

type Call = (
  client: ExecutorServiceClient,
  id: string,
  options: { deadline: number },
  callback: (error: ServiceError | null) => void,
) => void;

const wait: Call = (client, id, options, callback) => client.wait({ id }, new Metadata(), options, callback);
const shutdown: Call = (client, id, options, callback) =>
  client.shutdown({ id, signal: "WINCH", gracePeriod: A_DAY }, new Metadata(), options, callback);

/** The details of the errors of so many calls, each of which has passed its deadline. */
async function expired(id: string, call: Call, count: number): Promise<string[]> {
  const client = new ExecutorServiceClient(daemon.daemon.address, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  const one = (): Promise<string> =>
    new Promise((resolve) => {
      call(client, id, { deadline: Date.now() + DEADLINE_MS }, (error) => resolve(error?.details ?? "OK"));
    });
  const details: string[] = [];
  try {
    for (let made = 0; made < count; made += AT_ONCE) {
      details.push(...(await Promise.all(Array.from({ length: AT_ONCE }, one))));
    }
  } finally {
    client.close();
  }
  return details;
}

it.each([
  ["Wait", wait],
  ["Shutdown with a long grace period", shutdown],
])(
  `${CALLS} callers of %s who go by their deadlines leave nothing`,
  async (_name, call) => {
    const { id } = await daemon.started();
    for (let made = 0; made < CALLS; made += PER_CONNECTION) {
      const details = await expired(id, call, PER_CONNECTION);
      expect(details.filter((text) => !text.startsWith("Deadline exceeded"))).toEqual([]);
    }
    // The same daemon, whose heap would not hold them, still has its task.
    const waiting = exitOf(daemon.client, id);
    await daemon.client.shutdown({ id });
    expect(await waiting).toMatchObject(died(15));
  },
  120_000 * SLOW,
);
