/** A launcher takes over what an earlier one has made. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";

import { launchAsPlainUser } from "../../../src/host/privileges";
import { encodeAttach } from "../../../src/host/helper/protocol";
import type { Sandbox, SandboxProcesses, SandboxSpec } from "../../../src/tasks/ports";
import { descriptors, until } from "../../support/daemon";
import { isAlive } from "../../support/processes";
import { itRequires, SLOW } from "../../support/requires";
import {
  HELPER,
  TestLauncher,
  readExitRecord,
  readLog,
  shell,
  startTicks,
  statFields,
  stopProcess,
} from "./support";

const SLEEPER = shell("exec sleep 1000");

describe("a launcher that is asked to take over a task", () => {
  let earlier: TestLauncher;
  let later: TestLauncher;

  beforeEach(async () => {
    [earlier, later] = await Promise.all([TestLauncher.start(), TestLauncher.start()]);
  });

  afterEach(async () => {
    await later[Symbol.asyncDispose]();
    await earlier[Symbol.asyncDispose]();
  });

  /** A task of the earlier launcher's that runs, whatever becomes of that. */
  async function running(
    command = SLEEPER,
    changes: Partial<SandboxSpec> = {},
  ): Promise<[Sandbox, SandboxSpec]> {
    const spec = earlier.spec(changes);
    const sandbox = await earlier.launcher.create(spec, new AbortController().signal);
    await sandbox.start(command);
    return [sandbox, spec];
  }

  async function attached(processes: SandboxProcesses): Promise<Sandbox> {
    const sandbox = await later.launcher.attach(processes);
    if (sandbox === undefined) throw new Error("init is not there");
    return sandbox;
  }

  it("signals it and hears of its end, when the one that made it has been killed", async () => {
    const script = "trap 'echo heard; exit 7' USR1; echo waiting; while :; do sleep 0.01; done";
    const [{ processes }, spec] = await running(shell(script));
    await until(() => readLog(spec.recordDir) === "waiting\n");
    await earlier.kill();
    const sandbox = await attached(processes);
    expect(sandbox.processes).toEqual(processes);
    expect(await sandbox.signal(10)).toBe(true);
    expect(await sandbox.exited).toBeUndefined();
    await sandbox.ended;
    expect(isAlive(processes.initPid)).toBe(false);
    expect(readExitRecord(spec.recordDir)).toEqual({ started: true, ended: true, waitStatus: 7 << 8 });
    expect(readLog(spec.recordDir)).toBe("waiting\nheard\n");
    expect(await sandbox.signal(10)).toBe(false);
  });

  it("kills its init, when the one that made it has been killed", async () => {
    const [{ processes }, spec] = await running();
    await earlier.kill();
    const sandbox = await attached(processes);
    sandbox.killInit();
    await sandbox.ended;
    expect(isAlive(processes.initPid)).toBe(false);
    expect(isAlive(processes.commandPid)).toBe(false);
    expect(readExitRecord(spec.recordDir)).toMatchObject({ started: true, ended: false });
  });

  itRequires(
    ["plain-user", "subids"],
    "kills an init of another user namespace, with a uid of its own",
    async () => {
      const { launcher: first } = await launchAsPlainUser(HELPER, earlier.defaults);
      const { launcher: second, privileges } = await launchAsPlainUser(HELPER, earlier.defaults);
      expect(privileges.unenforced.map(({ name }) => name)).not.toContain("init_uid");
      const made = await first.create(earlier.spec(), new AbortController().signal);
      await made.start(SLEEPER);
      await first.stop();
      const sandbox = await second.attach(made.processes);
      sandbox?.killInit();
      await sandbox?.ended;
      expect(isAlive(made.processes.initPid)).toBe(false);
      expect(isAlive(made.processes.commandPid)).toBe(false);
      await second.stop();
    },
  );

  it("hears of an init that somebody else has killed, whose record says nothing of an end", async () => {
    const [{ processes }, spec] = await running();
    const sandbox = await attached(processes);
    process.kill(processes.initPid, "SIGKILL");
    expect(await sandbox.exited).toBeUndefined();
    await sandbox.ended;
    expect(readExitRecord(spec.recordDir)).toMatchObject({ started: true, ended: false });
  });

  it("starts nothing in it", async () => {
    const [made] = await running();
    const sandbox = await attached(made.processes);
    await expect(sandbox.start(SLEEPER)).rejects.toThrow("started already");
    sandbox.killInit();
    await Promise.all([sandbox.ended, made.ended]);
  });

  it("has it though its command has ended, and signals nothing", async () => {
    const [made] = await running();
    const { initPid, commandPid } = made.processes;
    await stopProcess(initPid);
    expect(await made.signal(9)).toBe(true);
    await until(() => statFields(commandPid)?.[0] === "Z");
    const sandbox = await attached(made.processes);
    expect(await sandbox.signal(0)).toBe(false);
    process.kill(initPid, "SIGCONT");
    await sandbox.ended;
    expect(await made.exited).toMatchObject({ started: true, ended: true, waitStatus: 9 });
    await made.ended;
  });

  it("signals no command that is another process than the one meant, nor one that there is not", async () => {
    const [made] = await running();
    const { processes } = made;
    const others = [
      { ...processes, commandStartTicks: processes.commandStartTicks + 1n },
      { ...processes, commandPid: process.pid },
      { ...processes, commandPid: 0, commandStartTicks: 0n },
    ];
    for (const other of others) expect(await (await attached(other)).signal(9)).toBe(false);
    expect(isAlive(processes.commandPid)).toBe(true);
    made.killInit();
    await made.ended;
  });

  it("finds no init where the pid is another process's, a thread's or nobody's", async () => {
    const [made] = await running();
    const { processes } = made;
    const thread =
      readdirSync("/proc/self/task")
        .map(Number)
        .find((tid) => tid !== process.pid) ?? 0;
    const others = [
      { ...processes, initStartTicks: processes.initStartTicks + 1n },
      { ...processes, initStartTicks: processes.initStartTicks - 1n },
      { ...processes, initPid: process.pid },
      { ...processes, initPid: thread, initStartTicks: startTicks(thread) },
      { ...processes, initPid: 2 ** 31 - 1 },
    ];
    const before = descriptors(later.pid);
    for (const other of others) expect(await later.launcher.attach(other)).toBeUndefined();
    expect(descriptors(later.pid)).toBe(before);
    expect(isAlive(processes.initPid)).toBe(true);
    made.killInit();
    await made.ended;
  });

  it("finds no init that has ended, though nobody has reaped it", async () => {
    const [made] = await running();
    const sandbox = await attached(made.processes);
    await stopProcess(earlier.pid);
    sandbox.killInit();
    await sandbox.ended;
    expect(statFields(made.processes.initPid)?.[0]).toBe("Z");
    expect(await later.launcher.attach(made.processes)).toBeUndefined();
    process.kill(earlier.pid, "SIGCONT");
    await made.ended;
  });

  it.each([
    ["no descriptor", 0],
    ["init's pidfd alone", 1],
    ["both pidfds alone", 2],
  ])("does not take it for gone when it has room for %s", async (_, room) => {
    const [made] = await running();
    const held = descriptors(later.pid);
    const limit = (soft: string): unknown =>
      execFileSync("prlimit", ["--pid", String(later.pid), `--nofile=${soft}:`]);
    const limits = readFileSync(`/proc/${later.pid}/limits`, "utf8");
    const usual = /^Max open files +(\d+)/m.exec(limits)?.[1] ?? "";
    limit(String(held + room));
    await expect(later.launcher.attach(made.processes)).rejects.toMatchObject({ code: "EMFILE" });
    limit(usual);
    expect(descriptors(later.pid)).toBe(held);
    const sandbox = await attached(made.processes);
    sandbox.killInit();
    await Promise.all([sandbox.ended, made.ended]);
  });

  it("is asked for no process whose pid cannot be one, and serves on", async () => {
    const [made] = await running();
    for (const initPid of [0, -1, 2 ** 31, NaN]) {
      await expect(later.launcher.attach({ ...made.processes, initPid })).rejects.toThrow(RangeError);
    }
    const sandbox = await attached(made.processes);
    sandbox.killInit();
    await Promise.all([sandbox.ended, made.ended]);
  });

  it("that has gone answers with that, and tells of no end", async () => {
    const [made] = await running();
    const sandbox = await attached(made.processes);
    await later.kill();
    const told = jest.fn();
    void sandbox.exited.then(told);
    void sandbox.ended.then(told);
    await expect(sandbox.signal(9)).rejects.toThrow(/has gone/);
    sandbox.killInit();
    await expect(later.launcher.attach(made.processes)).rejects.toThrow(/has gone/);
    expect(isAlive(made.processes.initPid)).toBe(true);
    made.killInit();
    await made.ended;
    expect(told).not.toHaveBeenCalled();
  });

  it("does so a thousand times in no time, and tells of every end", async () => {
    const [made] = await running();
    const before = descriptors(later.pid);
    const begin = performance.now();
    const sandboxes = await Promise.all(Array.from({ length: 1000 }, () => attached(made.processes)));
    expect(performance.now() - begin).toBeLessThan(10_000 * SLOW);
    made.killInit();
    await Promise.all(sandboxes.map(({ ended }) => ended));
    await made.ended;
    expect(descriptors(later.pid)).toBe(before);
  });

  describe("finds an init by its record directory", () => {
    it("alone, and kills it with its task", async () => {
      const [[made, spec], [other]] = [await running(), await running()];
      const { initPid, initStartTicks } = made.processes;
      await earlier.kill();
      const moved = `${spec.recordDir}-moved`;
      renameSync(spec.recordDir, moved);
      expect(await later.launcher.findInit(spec.recordDir)).toBeUndefined();
      const found = await later.launcher.findInit(moved);
      expect(found).toEqual({ initPid, initStartTicks, commandPid: 0, commandStartTicks: 0n });
      const sandbox = await attached(found ?? made.processes);
      sandbox.killInit();
      await sandbox.ended;
      expect(isAlive(made.processes.commandPid)).toBe(false);
      expect(await later.launcher.findInit(moved)).toBeUndefined();
      expect(isAlive(other.processes.initPid)).toBe(true);
      const left = await attached(other.processes);
      left.killInit();
      await left.ended;
    });

    it("and no other process, whatever is where its exit record should be", async () => {
      const [made, spec] = await running();
      const record = join(spec.recordDir, "exit");
      const others: [string, (exit: string) => void][] = [
        ["nothing", () => undefined],
        ["unlocked", (exit) => writeFileSync(exit, "")],
        ["fifo", (exit) => execFileSync("mkfifo", [exit])],
        ["link", (exit) => symlinkSync(record, exit)],
        ["directory", (exit) => mkdirSync(exit)],
      ];
      for (const [name, make] of others) {
        const directory = join(earlier.directory, name);
        mkdirSync(directory);
        make(join(directory, "exit"));
        expect([name, await later.launcher.findInit(directory)]).toEqual([name, undefined]);
      }
      symlinkSync(spec.recordDir, join(earlier.directory, "linked"));
      expect(await later.launcher.findInit(join(earlier.directory, "linked"))).toBeUndefined();
      expect(await later.launcher.findInit(record)).toBeUndefined();
      // Whoever has the other name may have locked it.
      linkSync(record, join(earlier.directory, "second-name"));
      expect(await later.launcher.findInit(spec.recordDir)).toBeUndefined();
      unlinkSync(join(earlier.directory, "second-name"));
      expect(await later.launcher.findInit(spec.recordDir)).toMatchObject({
        initPid: made.processes.initPid,
      });
      made.killInit();
      await made.ended;
    });
  });

  it("ends with 2 when the task's number is another's already", async () => {
    const child = spawn(HELPER, ["launcher"], { stdio: ["ignore", "ignore", "inherit", "pipe"], env: {} });
    const ended = once(child, "exit");
    const socket = child.stdio[3] as Socket;
    socket.on("error", () => undefined);
    socket.resume();
    const self = { initPid: process.pid, initStartTicks: startTicks(process.pid) };
    const message = encodeAttach(1n, { ...self, commandPid: 0, commandStartTicks: 0n }, 1);
    socket.end(Buffer.concat([message, message]));
    expect(await ended).toEqual([2, null]);
  });
});
