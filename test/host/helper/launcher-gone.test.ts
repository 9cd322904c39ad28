/**
 * The launcher is killed at each moment of a task's life. One whose command has been let go goes on and records its
 * end; of one that has not, nothing is left, and its record says that it was never started.
 */
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { CommandSpec, Sandbox, SandboxSpec } from "../../../src/tasks/ports";
import { descendants, until } from "../../support/daemon";
import { isAlive } from "../../support/processes";
import { itRequires, SLOW } from "../../support/requires";
import { CGROUPS, withRoot, withTask } from "../cgroup/support";
import {
  PENDING,
  TestLauncher,
  embedding,
  longTree,
  readExitRecord,
  readLog,
  shell,
  statFields,
  stopProcess,
} from "./support";

/** That of init once it has dropped its privileges. */
const INIT_UID = 65533;
const COMMAND = shell("echo one; echo two; exit 7");
const WHOLE = { record: { started: true, ended: true, waitStatus: 7 << 8 }, log: "one\ntwo\n" };
const NOTHING = { record: PENDING, log: "" };

interface Made {
  readonly fixture: TestLauncher;
  readonly spec: SandboxSpec;
  readonly sandbox: Sandbox;
  readonly init: number;
  readonly command: number;
}

/** A sandbox with a cgroup, whose command waits; `test` kills the launcher. */
async function withSandbox(test: (made: Made) => Promise<void>): Promise<void> {
  await withTask(async (cgroup, root) => {
    await using fixture = await TestLauncher.start({ cgroupPrefix: root.shownPrefix });
    const spec = fixture.spec({ cgroup });
    const sandbox = await fixture.launcher.create(spec, new AbortController().signal);
    const { initPid, commandPid } = sandbox.processes;
    await test({ fixture, spec, sandbox, init: initPid, command: commandPid });
  });
}

/** What is known of a task once its init has ended. */
async function outcome({ init, command, spec }: Omit<Made, "fixture" | "sandbox">): Promise<typeof WHOLE> {
  await until(() => !isAlive(init));
  expect(isAlive(command)).toBe(false);
  return { record: readExitRecord(spec.recordDir), log: readLog(spec.recordDir) };
}

/** Resolves once the launcher has sent START: it answers in order. Nobody hears how that goes on. */
async function sendStart(sandbox: Sandbox, command: CommandSpec = COMMAND): Promise<void> {
  sandbox.start(command).catch(() => undefined);
  await sandbox.signal(0);
}

/** How often it has gone to sleep. */
function sleeps(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^voluntary_ctxt_switches:\t(\d+)$/m.exec(status)?.[1]);
}

/** Has init hear START and pass it on, to a command that is stopped. */
async function passStartOn({ sandbox, init, command }: Made, started?: CommandSpec): Promise<void> {
  await until(() => statFields(init)?.[0] === "S");
  await stopProcess(command);
  // Init is told of no stop of a child of its own: it sleeps on, until START.
  await until(() => statFields(init)?.[0] === "S");
  const before = sleeps(init);
  await sendStart(sandbox, started);
  await until(() => sleeps(init) > before && statFields(init)?.[0] === "S");
}

function hasExecuted(pid: number): boolean {
  return readFileSync(`/proc/${pid}/comm`, "utf8") === "sh\n";
}

describe("a launcher that is killed", () => {
  describe("while init makes the sandbox", () => {
    const uid = (pid: number): number =>
      Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

    async function withMaking(test: (made: Omit<Made, "sandbox">) => Promise<void>): Promise<void> {
      await withTask(async (cgroup, root) => {
        await using fixture = await TestLauncher.start({ cgroupPrefix: root.shownPrefix });
        const spec = fixture.spec({ cgroup, mounts: [embedding(longTree(fixture.directory))] });
        const made = fixture.launcher.create(spec, new AbortController().signal);
        const rejected = expect(made).rejects.toThrow(/has gone/);
        await until(() => existsSync(join(fixture.directory, "alloc/alloc1/task1/tree")));
        const [init = 0, command = 0] = descendants(fixture.pid);
        await test({ fixture, spec, init, command });
        await rejected;
      });
    }

    itRequires(CGROUPS, "leaves a task that was never started, in the middle of the steps", () =>
      withMaking(async (made) => {
        await made.fixture.kill();
        expect(await outcome(made)).toEqual(NOTHING);
      }),
    );

    itRequires(CGROUPS, "leaves a task that was never started, with a READY that it has not read", () =>
      withMaking(async (made) => {
        await stopProcess(made.fixture.pid);
        // Between dropping its privileges and waiting for START, having said READY, init never sleeps.
        await until(() => uid(made.init) === INIT_UID && statFields(made.init)?.[0] === "S");
        await made.fixture.kill();
        expect(await outcome(made)).toEqual(NOTHING);
      }),
    );
  });

  itRequires(CGROUPS, "leaves a task that was never started, before START", () =>
    withSandbox(async (made) => {
      await made.fixture.kill();
      expect(await outcome(made)).toEqual(NOTHING);
    }),
  );

  itRequires(CGROUPS, "before init has read START: a task that was never started", () =>
    withSandbox(async (made) => {
      await stopProcess(made.init);
      await sendStart(made.sandbox);
      await made.fixture.kill();
      expect(await outcome(made)).toEqual(NOTHING);
    }),
  );

  itRequires(CGROUPS, "before the command has read START: the task goes on", () =>
    withSandbox(async (made) => {
      await passStartOn(made);
      await made.fixture.kill();
      process.kill(made.command, "SIGCONT");
      expect(await outcome(made)).toEqual(WHOLE);
    }),
  );

  itRequires(CGROUPS, "before a command cannot be executed: the record says that none was started", () =>
    withSandbox(async (made) => {
      await passStartOn(made, { argv: ["nothing"], env: new Map([["PATH", "/usr/bin"]]) });
      await made.fixture.kill();
      process.kill(made.command, "SIGCONT");
      expect(await outcome(made)).toMatchObject({ record: { started: false, ended: true }, log: "" });
    }),
  );

  itRequires(CGROUPS, "before init knows that the command has been executed: the task goes on", () =>
    withSandbox(async (made) => {
      await passStartOn(made, shell("kill -STOP $$; echo one; echo two; exit 7"));
      await stopProcess(made.init);
      process.kill(made.command, "SIGCONT");
      await until(() => hasExecuted(made.command) && statFields(made.command)?.[0] === "T");
      await made.fixture.kill();
      process.kill(made.init, "SIGCONT");
      await until(() => readExitRecord(made.spec.recordDir).started);
      process.kill(made.command, "SIGCONT");
      expect(await outcome(made)).toEqual(WHOLE);
    }),
  );

  itRequires(CGROUPS, "with a STARTED that it has not read: the task goes on", () =>
    withSandbox(async (made) => {
      await passStartOn(made, shell("kill -STOP $$; echo one; echo two; exit 7"));
      await stopProcess(made.fixture.pid);
      process.kill(made.command, "SIGCONT");
      await until(() => hasExecuted(made.command) && statFields(made.command)?.[0] === "T");
      await until(() => readExitRecord(made.spec.recordDir).started && statFields(made.init)?.[0] === "S");
      await made.fixture.kill();
      process.kill(made.command, "SIGCONT");
      expect(await outcome(made)).toEqual(WHOLE);
    }),
  );

  itRequires(CGROUPS, "when the command has ended, and init does not know it yet: its end is recorded", () =>
    withSandbox(async (made) => {
      await made.sandbox.start(shell("kill -STOP $$; echo one; echo two; exit 7"));
      await until(() => statFields(made.command)?.[0] === "T");
      await stopProcess(made.init);
      process.kill(made.command, "SIGCONT");
      await until(() => statFields(made.command)?.[0] === "Z");
      await made.fixture.kill();
      process.kill(made.init, "SIGCONT");
      expect(await outcome(made)).toEqual(WHOLE);
    }),
  );

  itRequires(CGROUPS, "takes no line from the output of a task that writes all the while, nor the task", () =>
    withSandbox(async (made) => {
      const lines = 100_000;
      const script = `i=0; while [ $i -lt ${lines} ]; do echo $i; i=$((i+1)); done; exit 7`;
      await made.sandbox.start(shell(script));
      await until(() => readLog(made.spec.recordDir).length > 1000);
      await made.fixture.kill();
      expect(isAlive(made.init)).toBe(true);
      const { record, log } = await outcome(made);
      expect(record).toEqual(WHOLE.record);
      expect(log).toBe(Array.from({ length: lines }, (_, line) => `${line}\n`).join(""));
    }),
  );

  itRequires(
    CGROUPS,
    "at any moment leaves a task that was never started, or one that ran to its end",
    () =>
      withRoot(async (root) => {
        const round = async (moment: () => Promise<void>): Promise<typeof WHOLE> => {
          await using fixture = await TestLauncher.start({ cgroupPrefix: root.shownPrefix });
          const cgroup = await root.host.create(randomUUID());
          const spec = fixture.spec({ cgroup });
          const task = fixture.launcher
            .create(spec, new AbortController().signal)
            .then((sandbox) => sandbox.start(COMMAND))
            .catch(() => undefined);
          await moment();
          // What it has made is its own until it is killed, and found by that.
          await stopProcess(fixture.pid);
          const [init, command] = descendants(fixture.pid);
          await fixture.kill();
          await task;
          await until(() => [init, command].every((pid) => pid === undefined || !isAlive(pid)));
          expect(await cgroup.removeIfEmpty()).toBe(true);
          return { record: readExitRecord(spec.recordDir), log: readLog(spec.recordDir) };
        };
        const passes = async (ms: number): Promise<void> => {
          const end = performance.now() + ms;
          while (performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
        };
        const seen = { never: 0, whole: 0 };
        // Up to a moment that comes later as long as nearly all are early, and the other way round.
        let latestMs = 10 * SLOW;
        const rounds = Math.ceil(200 / SLOW);
        for (let i = 0; i < rounds; i++) {
          const got = await round(() => passes(Math.random() * latestMs));
          if (got.record.started) expect(got).toEqual(WHOLE);
          else expect(got).toEqual(NOTHING);
          seen[got.record.started ? "whole" : "never"]++;
          latestMs *= got.record.started ? 0.8 : 1.25;
        }
        expect(Math.min(seen.never, seen.whole)).toBeGreaterThan(rounds / 10);
      }),
    120_000,
  );
});
