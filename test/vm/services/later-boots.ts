/** What is left of tasks after a reboot, and after a loss of power. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { ExitReason, StockadeError, type Exit } from "../../../src/client";
import {
  checkLeft,
  expectLost,
  expectNothingAlive,
  expectUntouched,
  leaveTasks,
  left,
  takePids,
} from "./left";
import { notes, save } from "./notes";
import { check, say } from "./report";
import { exitOf, expectStarted, make, SLEEPER } from "./tasks";
import { DAEMON, isActive, property, systemctl, TASKS } from "./units";

/** How much later after a start each cut is than the one before; within the second that a sync takes at most. */
const CUT_STEP_MS = 370;
const CUT_WITHIN_MS = 1_200;

export async function afterReboot(): Promise<void> {
  const taken = await takePids();
  await check("after a reboot the daemon starts, and signals nothing that has an old task's pid", () => {
    systemctl("enable", "--now", DAEMON);
    expectUntouched(taken);
  });
  await check("a task that the shutdown's SIGTERM has ended is known to have", async () => {
    const exit = await exitOf(left("running").id);
    assert.equal(exit.reason, ExitReason.EXIT_REASON_SIGNALED);
    assert.deepEqual(exit.status, { $case: "signal", value: 15 });
    expectStarted(exit, left("running"));
  });
  await check("one that did not care for it is LOST, or known to have been killed", async () => {
    const exit = await exitOf(left("stubborn").id);
    expectStarted(exit, left("stubborn"));
    if (exit.reason !== ExitReason.EXIT_REASON_LOST) {
      assert.equal(exit.reason, ExitReason.EXIT_REASON_SIGNALED);
      assert.deepEqual(exit.status, { $case: "signal", value: 9 });
    }
  });
  await checkLeft();
  expectUntouched(taken);
  await cutPower();
}

/** With a task that is younger than any sync of the records, or, from the second time on, about as old. */
async function cutPower(): Promise<void> {
  await leaveTasks();
  const delayMs = (notes.cuts * CUT_STEP_MS) % CUT_WITHIN_MS;
  notes.next = "after-power-cut";
  notes.cuts++;
  save();
  const { id } = await make("young", SLEEPER);
  await sleep(delayMs);
  say(`cut ${id}`);
}

export async function afterPowerCut(): Promise<void> {
  await check("after a loss of power the daemon is there by itself, at its first try", () => {
    assert.ok(isActive(DAEMON));
    assert.equal(property(DAEMON, "NRestarts"), "0");
  });
  for (const name of ["running", "stubborn"]) {
    await check(
      `${name === "running" ? "a" : "another"} task that ran is LOST, and when it was started is known`,
      async () => {
        expectLost(await exitOf(left(name).id), left(name));
      },
    );
  }
  await check("one that had been started within the last second is LOST, or gone as a whole", async () => {
    const exit = await exitOf(argument("young")).catch((error: unknown): Exit | undefined => {
      if (error instanceof StockadeError && error.code === "NOT_FOUND") return undefined;
      throw error;
    });
    if (exit !== undefined) assert.equal(exit.reason, ExitReason.EXIT_REASON_LOST);
    say(
      `# it is ${exit === undefined ? "gone" : `LOST, ${exit.startedAt === undefined ? "not " : ""}known to have started`}`,
    );
  });
  await checkLeft();
  if (notes.cuts < Number(argument("cuts"))) {
    await cutPower();
    return;
  }
  await check("nothing is left when both units are stopped", () => {
    systemctl("stop", TASKS);
    assert.equal(property(DAEMON, "ActiveState"), "inactive");
    expectNothingAlive();
  });
  say("end");
  systemctl("poweroff");
}

/** What the machine's host says by its kernel's arguments: there is the young task's id, which the disk may not have. */
function argument(name: "cuts" | "young"): string {
  const words = readFileSync("/proc/cmdline", "utf8").trim().split(" ");
  return words.find((word) => word.startsWith(`services.${name}=`))?.replace(/^.*?=/, "") ?? "";
}
