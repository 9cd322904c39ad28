/** A daemon that is started, stopped, killed, re-executed under and replaced, with tasks running. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

import { ExitReason, StockadeError } from "../../../src/client";
import { expectNothingAlive, leaveTasks } from "./left";
import { notes, save } from "./notes";
import { check, say } from "./report";
import { call, exitOf, expectCode, expectRuns, make, run, script, SLEEPER, uuidOf, Writer } from "./tasks";
import { DAEMON, isActive, logged, mainPid, property, systemctl, TASKS, TASKS_CGROUP, until } from "./units";

const LIMIT = 64n << 20n;

export async function firstBoot(): Promise<void> {
  await start();
  await limits();
  await changes();
  await stops();
  await leaveTasks();
  notes.next = "after-reboot";
  save();
  say("reboot");
  systemctl("reboot");
}

async function start(): Promise<void> {
  await check("a daemon that systemctl has started serves", async () => {
    systemctl("start", DAEMON);
    const unknown = call((client) => client.wait("CGROUP:/none/01890000-0000-7000-8000-000000000000"));
    const code = await unknown.catch((error: unknown) => error instanceof StockadeError && error.code);
    assert.equal(code, "NOT_FOUND");
  });
  await check("the cgroup root is the tasks' unit, whose one process is in a leaf of its own", () => {
    assert.match(logged(), new RegExp(`"cgroups":"v2 /system.slice/${TASKS}","unenforced":\\[\\]`));
    assert.equal(readFileSync(`${TASKS_CGROUP}/cgroup.procs`, "utf8"), "");
    assert.equal(readFileSync(`${TASKS_CGROUP}/anchor/cgroup.procs`, "utf8"), `${mainPid(TASKS)}\n`);
    assert.equal(property(DAEMON, "ControlGroup"), `/system.slice/${DAEMON}`);
  });
  await check("its directories have the modes of the contract", () => {
    const modes = execFileSync("stat", ["-c", "%n %a", "/run/stockade", "/var/lib/stockade"], {
      encoding: "utf8",
    });
    assert.equal(modes, "/run/stockade 755\n/var/lib/stockade 700\n");
  });
}

async function limits(): Promise<void> {
  const hungry = script("exec tail /dev/zero");
  await check("a task with limits runs, and they are in force", async () => {
    const task = await make("limited", script("sleep 100000"), false);
    const resources = { memoryBytes: LIMIT, cpuMillis: 500n, pidsMax: 20n };
    const { effective, unenforced } = await call((client) => client.limit({ id: task.id, resources }));
    assert.deepEqual(unenforced, []);
    assert.equal(effective?.memoryBytes, LIMIT);
    await call((client) => client.start(task.id));
    await expectRuns(task);
    assert.equal(readFileSync(`${TASKS_CGROUP}/${uuidOf(task.id)}/memory.max`, "utf8"), `${LIMIT}\n`);
    await call((client) => client.forceStop(task.id));
  });
  await check("the units outlive the OOM killer's visit to a task", async () => {
    const [daemon, anchor] = [mainPid(DAEMON), mainPid(TASKS)];
    const { id } = await make("hungry", hungry, false);
    await call((client) => client.limit({ id, resources: { memoryBytes: LIMIT } }));
    await call((client) => client.start(id));
    assert.equal((await exitOf(id)).reason, ExitReason.EXIT_REASON_OOM_KILLED);
    assert.deepEqual([mainPid(DAEMON), mainPid(TASKS)], [daemon, anchor]);
    assert.deepEqual([isActive(DAEMON), isActive(TASKS)], [true, true]);
  });
}

/** By what the daemon, or what it stands on, is changed; each with a task that goes on meanwhile. */
const CHANGES: readonly (readonly [string, () => Promise<void> | void])[] = [
  ["systemctl restart", () => void systemctl("restart", DAEMON)],
  [
    "a kill of the daemon, which is started again,",
    async () => {
      const killed = mainPid(DAEMON);
      process.kill(killed, "SIGKILL");
      await until("another daemon", () => ![0, killed].includes(mainPid(DAEMON)) && isActive(DAEMON));
    },
  ],
  ["systemctl daemon-reexec", () => void systemctl("daemon-reexec")],
  [
    "an upgrade, and systemctl try-restart,",
    () => {
      const installed = "/usr/local/lib/stockade";
      const commands = [
        `cp -a ${installed} ${installed}.new`,
        `sed -i 's/0\\.1\\.0/0.1.1/' ${installed}.new/dist/js/config/load.js`,
        `mv ${installed} ${installed}.old && mv ${installed}.new ${installed} && rm -r ${installed}.old`,
      ];
      execFileSync("sh", ["-ec", commands.join("\n")]);
      systemctl("daemon-reload");
      systemctl("try-restart", DAEMON);
      assert.match(logged(), /"message":"ready","version":"0\.1\.1"/);
    },
  ],
];

async function changes(): Promise<void> {
  const anchor = mainPid(TASKS);
  const writer = await Writer.start("writer");
  const exit = exitOf(writer.task.id);
  exit.catch(() => undefined);
  const waiting = await make("for-later", SLEEPER, false);
  for (const [name, change] of CHANGES) {
    await check(`${name} leaves tasks as they are, and new ones run`, async () => {
      await change();
      const lines = writer.lines().length;
      await expectRuns(writer.task);
      await until("the next line", () => writer.lines().length > lines);
      const { effective } = await call((client) =>
        client.limit({ id: writer.task.id, resources: { memoryBytes: LIMIT } }),
      );
      assert.equal(effective?.memoryBytes, LIMIT);
      expectCode(await run("new", script("exit 4")), 4);
      assert.equal(mainPid(TASKS), anchor);
    });
  }
  await check("who waited all the while, and asked again, has the exit; no line is missing", async () => {
    writer.letGo();
    expectCode(await exit, 7);
    assert.deepEqual(
      writer.lines(),
      writer.lines().map((_line, index) => `line ${index + 1}`),
    );
    assert.equal((await exitOf(waiting.id)).reason, ExitReason.EXIT_REASON_NEVER_STARTED);
  });
}

async function stops(): Promise<void> {
  const writer = await Writer.start("alone");
  await check("systemctl stop of the daemon leaves tasks running", async () => {
    systemctl("stop", DAEMON);
    const lines = writer.lines().length;
    await until("the next line", () => writer.lines().length > lines);
    assert.ok(isActive(TASKS));
  });
  await check("a configuration that cannot be is named, and not tried again", () => {
    const directory = `/run/systemd/system/${DAEMON}.d`;
    mkdirSync(directory, { recursive: true });
    writeFileSync(`${directory}/wrong.conf`, '[Service]\nEnvironment="STOCKADED_FLAGS=--no-such-flag"\n');
    systemctl("daemon-reload");
    assert.throws(() => systemctl("start", DAEMON));
    assert.equal(property(DAEMON, "ActiveState"), "failed");
    assert.match(logged(), /unknown option '--no-such-flag'/);
    rmSync(directory, { recursive: true });
    systemctl("daemon-reload");
  });
  await check("the next daemon has the tasks, and the exit of one that ends by itself", async () => {
    systemctl("start", DAEMON);
    await expectRuns(writer.task);
    writer.letGo();
    expectCode(await exitOf(writer.task.id), 7);
  });
  await check(
    "systemctl stop of the tasks' unit stops the daemon, ends tasks, and leaves nothing",
    async () => {
      notes.tasks = {
        asked: await make("asked", script("trap 'exit 9' TERM; while :; do sleep 0.1; done")),
        killed: await make("killed", script("trap '' TERM; exec sleep 100000")),
      };
      systemctl("stop", TASKS);
      assert.equal(property(DAEMON, "ActiveState"), "inactive");
      // Not by itself: one task had to be killed.
      assert.equal(property(TASKS, "Result"), "timeout");
      expectNothingAlive();
      assert.ok(existsSync("/run/stockade") && !existsSync("/run/stockade/stockaded.sock"));
    },
  );
  await check("the next daemon knows how they ended", async () => {
    systemctl("start", DAEMON);
    expectCode(await exitOf(notes.tasks["asked"]?.id ?? ""), 9);
    // Its init is killed with it, and one of the two is first.
    const { reason, status } = await exitOf(notes.tasks["killed"]?.id ?? "");
    if (reason !== ExitReason.EXIT_REASON_LOST) assert.deepEqual(status, { $case: "signal", value: 9 });
  });
  await check("a loss of the anchor ends tasks, and both units are started again", async () => {
    const [daemon, anchor] = [mainPid(DAEMON), mainPid(TASKS)];
    const task = await make("unanchored", SLEEPER);
    process.kill(anchor, "SIGKILL");
    await until(
      "another anchor and another daemon",
      () =>
        ![0, anchor].includes(mainPid(TASKS)) && ![0, daemon].includes(mainPid(DAEMON)) && isActive(DAEMON),
    );
    assert.deepEqual((await exitOf(task.id)).status, { $case: "signal", value: 15 });
    expectCode(await run("anchored", script("exit 2")), 2);
  });
}
