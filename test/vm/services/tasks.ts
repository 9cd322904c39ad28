/** Tasks of the machine's daemon. Each call is a client of its own: what is not there at once is an error. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import {
  ExitReason,
  StockadeClient,
  StockadeError,
  TaskState,
  type ConfigureFields,
  type Exit,
} from "../../../src/client";
import type { Kept } from "./notes";
import { pidsIn, startTicks } from "./units";

const SOCKET = "unix:/run/stockade/stockaded.sock";
const ALLOC_DIR = "/var/lib/stockade/alloc";

export async function call<Answer>(act: (client: StockadeClient) => Promise<Answer>): Promise<Answer> {
  using client = new StockadeClient(SOCKET);
  return await act(client);
}

export const script = (text: string): ConfigureFields => ({ command: "/bin/sh", args: ["-c", text] });

export const SLEEPER: ConfigureFields = { command: "/bin/sleep", args: ["100000"] };

/** A task of that name, in an alloc of that name, and started unless it is to wait. */
export async function make(name: string, request: ConfigureFields, start = true): Promise<Kept> {
  const before = new Set(pidsIn("inits"));
  const { id, unenforced } = await call((client) =>
    client.configure({ allocId: name, taskName: name, ...request }),
  );
  assert.deepEqual(unenforced, []);
  const pids = [...pidsIn("inits").filter((pid) => !before.has(pid)), ...pidsIn(uuidOf(id))];
  if (!start) return { id, pids };
  const begun = Date.now();
  await call((client) => client.start(id));
  return { id, pids, started: [begun, Date.now()] };
}

export function uuidOf(id: string): string {
  return id.split("/").at(-1) ?? "";
}

/** Waits, and asks again when it is told that the daemon stops, or there is none. */
export async function exitOf(id: string): Promise<Exit> {
  for (;;) {
    try {
      const { exit } = await call((client) => client.wait(id));
      assert.ok(exit !== undefined);
      return exit;
    } catch (error) {
      if (!(error instanceof StockadeError) || error.code !== "UNAVAILABLE") throw error;
      await sleep(200);
    }
  }
}

export async function run(name: string, request: ConfigureFields): Promise<Exit> {
  const { id } = await make(name, request);
  return exitOf(id);
}

export async function expectRuns({ id, pids }: Kept): Promise<void> {
  assert.equal((await call((client) => client.open({ id }))).state, TaskState.TASK_STATE_RUNNING);
  assert.deepEqual(
    pids.filter((pid) => startTicks(pid) === undefined),
    [],
  );
}

export function expectCode(exit: Exit, code: number): void {
  assert.equal(exit.reason, ExitReason.EXIT_REASON_EXITED);
  assert.deepEqual(exit.status, { $case: "exitCode", value: code });
}

/** That it has been started is known, and when. */
export function expectStarted({ startedAt }: Exit, { started }: Kept): void {
  assert.ok(startedAt !== undefined && started !== undefined);
  const ms = Number(startedAt.seconds) * 1000 + startedAt.nanos / 1e6;
  assert.ok(ms >= started[0] - 1 && ms <= started[1] + 1, `${ms} is not in ${started.join(" to ")}`);
}

/** A task that writes numbered lines until it is let go, and then exits with 7. */
export class Writer {
  private constructor(
    private readonly name: string,
    readonly task: Kept,
  ) {}

  static async start(name: string): Promise<Writer> {
    const lines =
      "i=0; while [ ! -e /local/go ]; do i=$((i+1)); echo line $i || exit 99; sleep 0.1; done; exit 7";
    return new Writer(name, await make(name, script(lines)));
  }

  lines(): string[] {
    return readFileSync(`${this.local}/${this.name}.stdout`, "utf8").trim().split("\n");
  }

  letGo(): void {
    writeFileSync(`${this.local}/go`, "");
  }

  private get local(): string {
    return `${ALLOC_DIR}/${this.name}/${this.name}/local`;
  }
}

/** What is in a task's directory. */
export function taskDir(name: string): string[] {
  return readdirSync(`${ALLOC_DIR}/${name}/${name}`);
}
