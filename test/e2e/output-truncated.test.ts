/** A task whose output another task holds open: it ends all the same, and its exit says what may be missing. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import type { ConfigureFields, Exit } from "../../src/client";
import { isRoot, TestDaemon, until, type Started } from "../support/daemon";
import { died, exited, exitOf, forceStopped } from "../support/exits";
import { Fixtures } from "../support/fixtures";
import { expectNothingLeftSoon } from "../support/leftovers";
import { RunStream } from "../support/run-stream";

const STOCKADE = resolve(__dirname, "../../dist/bin/stockade");
const SOCKET = "/alloc/data/socket";
const GIVE = `/fixtures/hold-output give ${SOCKET}`;

let fixtures: Fixtures;
let daemon: TestDaemon;

beforeAll(async () => {
  fixtures = await Fixtures.make("hold-output");
  daemon = await TestDaemon.start({ ...fixtures.config, end_tasks_on_stop: false });
});

afterEach(() => expectNothingLeftSoon(daemon));

afterAll(async () => {
  await daemon.endAll();
  await daemon[Symbol.asyncDispose]();
  await fixtures[Symbol.asyncDispose]();
});

/** A task that waits for another's output, to keep it open, and what configures that other one. */
async function holder(
  how: "take" | "flood",
): Promise<Started & { readonly giver: (script: string) => ConfigureFields & { readonly allocId: string } }> {
  const allocId = daemon.freshName();
  const { mounts } = fixtures;
  const command = { command: "/fixtures/hold-output", args: [how, SOCKET] };
  const started = await daemon.started({ allocId, taskName: "holder", mounts, ...command });
  await until(async () => (await daemon.output(started.id)).stdout.includes("ready"));
  const giver = (script: string): ConfigureFields & { readonly allocId: string } => ({
    allocId,
    taskName: "giver",
    mounts,
    command: "/bin/sh",
    args: ["-c", script],
  });
  return { ...started, giver };
}

/** What each call that tells of an ended task says of its exit. */
async function exitsTold(id: string): Promise<(Exit | undefined)[]> {
  const logged = [];
  for await (const event of daemon.client.logs(id)) if (event.kind === "exit") logged.push(event.exit);
  const { tasks } = await daemon.client.list();
  return [
    (await daemon.client.wait(id)).exit,
    (await daemon.client.get(id)).task?.exit,
    tasks.find((task) => task.id === id)?.exit,
    (await daemon.client.open({ id })).exit,
    (await daemon.client.forceStop(id)).exit,
    logged.at(-1),
  ];
}

it("held open by another task, it does not keep Run from its end, which says so", async () => {
  const { id: holderId, giver } = await holder("take");
  using run = new RunStream(daemon, giver(`echo mine; ${GIVE}; exit 5`));
  expect(await run.ended).toBeUndefined();
  expect(run.text("stdout")).toBe("mine\n");
  expect(run.exit).toMatchObject({ ...exited(5), outputTruncated: true, stdoutDroppedBytes: 0n });
  const told = await exitsTold(await run.started());
  expect(told).toEqual(Array(told.length).fill(run.exit));
  // The other one has it still.
  expect((await daemon.client.forceStop(holderId)).exit).toMatchObject({
    ...forceStopped(),
    outputTruncated: false,
  });
});

it("written to by another task without end, it does not keep Run from its end either", async () => {
  const { id: holderId, giver } = await holder("flood");
  using run = new RunStream(daemon, giver(`echo mine; ${GIVE}; exit 5`));
  expect(await run.ended).toBeUndefined();
  expect(run.text("stdout")).toMatch(/^mine\n(x|$)/);
  expect(run.exit).toMatchObject({ ...exited(5), outputTruncated: true });
  await until(async () => (await daemon.output(holderId)).stdout.includes("unread"));
  await daemon.client.forceStop(holderId);
});

it("held open only as stderr, and by a task that is stopped, it is the same", async () => {
  const { id: holderId, giver } = await holder("take");
  const { id } = await daemon.started(giver(`${GIVE} >&2; echo given; exec sleep 1000`));
  await until(async () => (await daemon.output(id)).stdout.includes("given"));
  expect((await daemon.client.shutdown({ id })).exit).toMatchObject({ ...died(15), outputTruncated: true });
  await daemon.client.forceStop(holderId);
});

it("held open while no daemon is there, it is on record for the next one, and the one after", async () => {
  const { id: holderId, giver } = await holder("take");
  const request = giver(
    `echo mine; ${GIVE}; echo given; until [ -e /local/go ]; do sleep 0.01; done; exit 5`,
  );
  const { id } = await daemon.started(request);
  await until(async () => (await daemon.output(id)).stdout.includes("given"));
  await daemon.end("SIGKILL");
  await writeFile(join(daemon.allocDir(request.allocId), "giver/local/go"), "");
  await until(() => daemon.initPids().length === 1);
  for (const restarts of [1, 2]) {
    await (restarts === 1 ? daemon.startAgain() : daemon.restart("SIGKILL"));
    const told = await exitsTold(id);
    for (const exit of told) expect(exit).toMatchObject({ ...exited(5), outputTruncated: true });
  }
  expect((await daemon.output(id)).stdout).toBe("mine\ngiven\n");
  await daemon.client.forceStop(holderId);
});

it("held open by the task's own processes alone, it is whole: they are killed first", async () => {
  const { exit, stdout } = await daemon.run(
    "setsid sleep 1000 & (trap '' TERM; sleep 1000) & echo mine; exit 5",
  );
  expect(stdout).toBe("mine\n");
  expect(exit).toMatchObject({ ...exited(5), outputTruncated: false });
});

it("the SDK's result has it, and the program says it to people", async () => {
  const { id: holderId, giver } = await holder("take");
  const { allocId } = giver("");
  const flags = ["--alloc", allocId, "--name", "giver", "-v", `${fixtures.directory}:/fixtures:ro`];
  const unenforced = isRoot() ? [] : ["--allow-unenforced"];
  const stockade = async (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
    promisify(execFile)(STOCKADE, args, {
      env: { ...process.env, STOCKADE_HOST: daemon.daemon.address },
    });
  const ran = await stockade("run", ...unenforced, ...flags, "sh", "-c", `echo mine; ${GIVE}`);
  const words = "stockade: the end of its output may be missing\n";
  expect(ran).toEqual({ stdout: "mine\n", stderr: words });
  expect(await stockade("logs", "giver")).toEqual(ran);
  expect(await stockade("wait", "giver")).toEqual({ stdout: "0\n", stderr: words });
  expect((await stockade("inspect", "giver")).stdout).toContain('"outputTruncated": true');
  const { tasks } = await daemon.client.list();
  const id = tasks.find((task) => task.allocId === allocId && task.taskName === "giver")?.id ?? "";
  expect(await daemon.client.attach(id)).toMatchObject({ exitCode: 0, outputTruncated: true });
  expect((await exitOf(daemon.client, id)).outputTruncated).toBe(true);
  await daemon.client.forceStop(holderId);
});
