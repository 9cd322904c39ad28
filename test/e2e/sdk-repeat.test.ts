/** Which calls are made again when their answer is lost: those that change nothing, or the same, and no other. */
import { connect, type ConfigureFields, type StockadeClient } from "../../src/client";
import { isCutOff } from "../../src/client/retry";
import { CuttingProxy } from "../support/cutting-proxy";
import { isRoot, SLEEPER, TestDaemon } from "../support/daemon";
import { expectNothingLeftSoon } from "../support/leftovers";

let daemon: TestDaemon;
let proxy: CuttingProxy;
let client: StockadeClient;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  proxy = await CuttingProxy.start(daemon.daemon.address.replace(/^unix:/, ""), () => Infinity);
  client = connect(proxy.address);
});

afterEach(async () => {
  for await (const { id } of daemon.client.listAll()) await daemon.client.forceStop(id);
  await expectNothingLeftSoon(daemon);
});

afterAll(async () => {
  client?.close();
  await proxy?.[Symbol.asyncDispose]();
  await daemon?.[Symbol.asyncDispose]();
});

interface Attempted {
  /** The answer, or what the call has failed with. */
  readonly outcome: unknown;
  /** Each but the first needs a connection of its own. */
  readonly attempts: number;
}

/** Makes a call on a connection that is cut when the daemon answers it. */
async function withoutAnswer(call: () => Promise<unknown>): Promise<Attempted> {
  // What the daemon sends on this connection after that is of the next call.
  await client.serverInfo();
  const { connections } = proxy;
  proxy.loseNext();
  const outcome = await call().catch((error: unknown) => error);
  return { outcome, attempts: 1 + proxy.connections - connections };
}

type Stage = "configured" | "running" | "ended";

/** The id of a task that has got so far. */
async function taskThatIs(stage: Stage): Promise<string> {
  if (stage === "configured") return daemon.configure(SLEEPER);
  return stage === "running" ? (await daemon.started()).id : (await daemon.run("exit 3")).id;
}

function sleeper(requestId = ""): ConfigureFields {
  const name = daemon.freshName();
  return { ...SLEEPER, allocId: name, taskName: name, requestId, allowUnenforced: !isRoot() };
}

it.each<[string, Stage, (id: string) => Promise<unknown>]>([
  ["Configure without a request_id", "ended", () => client.configure(sleeper())],
  ["Limit", "configured", (id) => client.limit({ id, resources: { pidsMax: 20n } })],
  ["Start", "configured", (id) => client.start(id)],
  ["Shutdown", "running", (id) => client.shutdown({ id })],
  ["Delete", "ended", (id) => client.delete(id)],
])("%s is made once", async (_name, stage, call) => {
  const id = await taskThatIs(stage);
  const { outcome, attempts } = await withoutAnswer(() => call(id));
  // For want of an answer, and not for what one says.
  expect(isCutOff(outcome)).toBe(true);
  expect(attempts).toBe(1);
});

it.each<[string, Stage, (id: string) => Promise<unknown>]>([
  ["Configure with a request_id", "ended", () => client.configure(sleeper("order-66"))],
  ["Wait", "ended", (id) => client.wait(id)],
  ["ForceStop", "running", (id) => client.forceStop(id)],
  ["Get", "running", (id) => client.get(id)],
  ["List", "running", () => client.list()],
  ["Open", "running", (id) => client.open({ id })],
  ["GetServerInfo", "ended", () => client.serverInfo()],
])("%s is made again", async (_name, stage, call) => {
  const id = await taskThatIs(stage);
  const { outcome, attempts } = await withoutAnswer(() => call(id));
  expect(outcome instanceof Error ? outcome.message : "").toBe("");
  expect(attempts).toBe(2);
});
