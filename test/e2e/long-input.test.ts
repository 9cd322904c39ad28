/**
 * 100 kB in each string of each request: the call is answered in time, and so is the next one on the same
 * connection.
 */
import { StockadeClient, type ConfigureFields, type StockadeError } from "../../src/client";
import { failure, TestDaemon } from "../support/daemon";
import { SLOW } from "../support/requires";

const LONG = "x".repeat(100_000);
const WIDE = "😀".repeat(25_000);

const IN_TIME = { timeoutMs: 5000 * SLOW };
const UNKNOWN_ID = "CGROUP:/stockade/01890000-0000-7000-8000-000000000000";

let daemon: TestDaemon;
let client: StockadeClient;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  client = new StockadeClient(daemon.daemon.address);
});

afterEach(async () => {
  const next = await failure(client.wait(UNKNOWN_ID, IN_TIME));
  expect(next).toMatchObject({ reason: "TASK_NOT_FOUND" });
  expect(daemon.leftovers()).toEqual([]);
});

afterAll(async () => {
  client?.close();
  await daemon?.[Symbol.asyncDispose]();
});

/** A call with a long string, and the reason it is refused with. */
type Row = readonly [field: string, request: (text: string) => ConfigureFields, reason: string];

const bind = (source: string, target: string) => ({ mounts: [{ source, target, readOnly: true }] });

const REFUSED: readonly Row[] = [
  ["alloc_id", (text) => ({ allocId: text }), "FIELD_INVALID"],
  ["task_name", (text) => ({ taskName: text }), "FIELD_INVALID"],
  ["command", (text) => ({ command: `/${text}` }), "FIELD_INVALID"],
  ["command_line", (text) => ({ command: "", commandLine: `${text} ${text}` }), "FIELD_INVALID"],
  ["env", (text) => ({ env: { [text]: "" } }), "FIELD_INVALID"],
  ["user", (text) => ({ user: text }), "USER_UNKNOWN"],
  ["group", (text) => ({ group: text }), "GROUP_UNKNOWN"],
  ["supplementary_groups[0]", (text) => ({ supplementaryGroups: [text] }), "GROUP_UNKNOWN"],
  ["work_dir", (text) => ({ workDir: `/${text}` }), "FIELD_INVALID"],
  ["chroot", (text) => ({ chroot: { [`/${text}`]: "/x" } }), "FIELD_INVALID"],
  ["chroot", (text) => ({ chroot: { "/etc": `/${text}` } }), "FIELD_INVALID"],
  ["mounts[0].source", (text) => bind(`/${text}`, "/x"), "FIELD_INVALID"],
  ["mounts[0].target", (text) => bind("/etc", `/${text}`), "FIELD_INVALID"],
  ["ip", (text) => ({ ip: text }), "FIELD_INVALID"],
  ["ports", (text) => ({ ports: { [text]: 0 } }), "FIELD_INVALID"],
  ["meta", (text) => ({ meta: { [text]: "1", [text.toUpperCase()]: "2" } }), "FIELD_INVALID"],
];

const REQUEST = { allocId: "long", taskName: "long", command: "/bin/true", allowUnenforced: true };

describe.each([
  ["ASCII", LONG],
  ["beyond it", WIDE],
])("%s", (_, text) => {
  it.each(REFUSED)("Configure's %s", async (field, request, reason) => {
    const error = await failure(client.configure({ ...REQUEST, ...request(text) }, IN_TIME));
    expect(error).toMatchObject({ reason, field });
  });

  it("what of Configure may be as long: Start says whether it can be executed", async () => {
    const requests: readonly ConfigureFields[] = [
      { args: [text] },
      { env: { A: text } },
      { meta: { A: text } },
      { command: "", commandLine: text },
    ];
    for (const [index, request] of requests.entries()) {
      const { id } = await client.configure({ ...REQUEST, allocId: `long${index}`, ...request }, IN_TIME);
      const started = await client.start(id, IN_TIME).catch((error: unknown) => error);
      if (request.commandLine === undefined) expect(started).toHaveProperty("pid");
      else expect((started as StockadeError).reason).toBe("COMMAND_NOT_EXECUTABLE");
      await client.wait(id, IN_TIME);
    }
  });

  const calls: readonly [string, (id: string) => Promise<unknown>][] = [
    ["Limit's", (id) => client.limit({ id, resources: { pidsMax: 10n } }, IN_TIME)],
    ["Start's", (id) => client.start(id, IN_TIME)],
    ["Wait's", (id) => client.wait(id, IN_TIME)],
    ["Shutdown's", (id) => client.shutdown({ id }, IN_TIME)],
    ["ForceStop's", (id) => client.forceStop(id, IN_TIME)],
    ["Open's", (id) => client.open({ id }, IN_TIME)],
  ];
  it.each(calls)("%s id", async (_name, call) => {
    expect(await failure(call(text))).toMatchObject({ reason: "FIELD_INVALID", field: "id" });
    expect(await failure(call(`CGROUP:/${text}`))).toMatchObject({ code: expect.any(String) });
  });

  it("Limit's cpuset_cpus, and Shutdown's signal", async () => {
    const id = await daemon.configure({ command: "/bin/true" });
    const limit = { id, resources: { cpusetCpus: text }, allowUnenforced: true };
    expect(await failure(client.limit(limit as never, IN_TIME))).toMatchObject({
      field: "resources.cpuset_cpus",
    });
    expect(await failure(client.shutdown({ id, signal: text }, IN_TIME))).toMatchObject({ field: "signal" });
    await client.forceStop(id);
  });
});

describe("what an error repeats of a command", () => {
  it.each(["", "a", "aa", "aaa"])("is cut between characters, after %j too", async (before) => {
    const command = before + WIDE.slice(0, 2000);
    const id = await daemon.configure({ command });
    const error = await failure(client.start(id, IN_TIME));
    const path = error.metadata["path"] ?? "";
    expect(path).toMatch(new RegExp(`^(/usr/bin/)?${before}(😀)+…$`));
    expect(error.message).toContain(`${path}: ${error.metadata["errno"]}`);
  });

  it("has no half characters where its arguments cannot be", async () => {
    const commandLine = `${"a".repeat(79)}😀 ${"$A ".repeat(100)}`;
    const id = await daemon.configure({ commandLine, env: { A: LONG } });
    const error = await failure(client.start(id, IN_TIME));
    expect(error.metadata).toMatchObject({ errno: "E2BIG", path: `${"a".repeat(79)}😀` });
  });
});
