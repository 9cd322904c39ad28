/**
 * The daemon's end of the launcher: one socketpair, whose messages protocol.ts encodes.
 * Node forks once, here, when the daemon starts, and never on a task's path.
 */
import { spawn, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";

import type { Overrun } from "../../tasks/exit.js";
import type { HelperStep } from "../../tasks/helper-step.js";
import {
  HelperFault,
  StartUnknown,
  HelperGone,
  type Collect,
  type CollectedFile,
  type CommandSpec,
  type InitExit,
  type RemoveScope,
  type Sandbox,
  type SandboxHost,
  type SandboxProcesses,
  type SandboxSpec,
} from "../../tasks/ports.js";
import { Deferred } from "../../tasks/concurrency/deferred.js";
import { AtMost } from "../../tasks/concurrency/at-most.js";
import { turns } from "../../tasks/concurrency/fair-turns.js";
import { MessageSplitter } from "./message-splitter.js";
import {
  PROTOCOL_VERSION,
  encodeAttach,
  encodeCollect,
  encodeCreate,
  encodeFindInit,
  encodeKillInit,
  encodeRemove,
  encodeSignal,
  encodeStart,
  type DaemonMessage,
  type SandboxDefaults,
} from "./protocol.js";
import { BodyTooLarge } from "./wire.js";

/** How many files are collected at one time: each has a process of its own, and moves as much as a disk can. */
const COLLECTORS = 8;

/** Of an init that is taken over without its command. */
export const NO_COMMAND = { commandPid: 0, commandStartTicks: 0n } as const;

/** Takes the messages of one task, in order. */
type Receiver = (message: DaemonMessage) => void;

/** A running task was not taken over, and may well be there. */
export class NotAttached extends Error {
  /** @param code errno name */
  constructor(readonly code: string) {
    super(`cannot take over a running task: ${code}`);
    this.name = "NotAttached";
  }
}

type Hello = Extract<DaemonMessage, { type: "HELLO" }>;

/** What a worker of the launcher's answers. */
type Worked = Extract<DaemonMessage, { type: "REMOVED" | "COLLECTED" }>;

export class Launcher implements Omit<SandboxHost, "killStrays" | "killHolder"> {
  private readonly receivers = new Map<bigint, Receiver>();
  private readonly heard: (readonly [bigint, DaemonMessage])[] = [];
  private readonly losers = new Set<(error: Error) => void>();
  private readonly collecting = new AtMost(COLLECTORS);
  private nextTask = 1n;
  private loss: HelperGone | undefined;
  private readonly goneDeferred = new Deferred<HelperGone>();

  private constructor(
    private readonly process: ChildProcess,
    private readonly socket: Socket,
    private readonly defaults: SandboxDefaults,
  ) {
    const splitter = new MessageSplitter((task, message) => this.hear(task, message));
    socket.on("data", (chunk: Buffer) => {
      try {
        splitter.push(chunk);
      } catch (error) {
        this.lose(`it sent what is no message (${String(error)})`);
        this.process.kill("SIGKILL");
      }
    });
    socket.on("error", (error) => this.lose(error.message));
    socket.on("close", () => this.lose("it closed its socket"));
    process.on("error", (error) => this.lose(error.message));
    process.on("exit", (code, signal) => this.lose(`exit ${code ?? signal ?? "unknown"}`));
  }

  /**
   * Starts the launcher and waits for its greeting.
   * @param helper path of stockade-helper
   * @param place puts the launcher, by its pid, where inits belong, and among the users that they have,
   * before it makes any; where that fails there is no launcher
   */
  static async start(
    helper: string,
    defaults: SandboxDefaults,
    place: (pid: number) => Promise<void>,
  ): Promise<Launcher> {
    const mode = defaults.users === "launcher" ? ["user-namespace"] : [];
    const child = spawn(helper, ["launcher", ...mode], {
      stdio: ["ignore", "ignore", "inherit", "pipe"],
      cwd: "/",
      env: {},
    });
    const launcher = new Launcher(child, child.stdio[3] as Socket, defaults);
    const hello = new Deferred<Hello>();
    launcher.receivers.set(0n, (message) => {
      if (message.type === "HELLO") hello.resolve(message);
    });
    try {
      const { version, errno } = await launcher.orLost(hello.promise);
      if (version !== PROTOCOL_VERSION) {
        throw new Error(
          `the helper speaks protocol ${version}, the daemon ${PROTOCOL_VERSION}: rebuild both`,
        );
      }
      if (errno !== undefined) throw new HelperFault({ step: "MAP_IDS", errno, index: 0 });
      if (child.pid !== undefined) await place(child.pid);
    } catch (error) {
      await launcher.stop();
      throw error;
    }
    return launcher;
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  /** Resolves, with the reason, when the launcher has gone. */
  get gone(): Promise<HelperGone> {
    return this.goneDeferred.promise;
  }

  async create(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    signal.throwIfAborted();
    const task = this.nextTask++;
    const message = createMessage(task, spec, this.defaults);
    const sandbox = this.listen(new LauncherSandbox(task, (bytes) => this.send(bytes)));
    const onAbort = (): void => sandbox.killInit();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      this.send(message);
      await sandbox.ready;
      signal.throwIfAborted();
      return sandbox;
    } catch (error) {
      // Without its launcher an init that waits for Start ends by itself, and nobody here hears of it.
      if (!(error instanceof HelperGone)) await sandbox.ended;
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async attach(processes: SandboxProcesses): Promise<Sandbox | undefined> {
    const task = this.nextTask++;
    const message = encodeAttach(task, processes, this.defaults.initUid);
    const sandbox = this.listen(new LauncherSandbox(task, (bytes) => this.send(bytes), processes));
    this.send(message);
    try {
      await sandbox.ready;
      return sandbox;
    } catch (error) {
      if (error instanceof NotAttached && error.code === "ESRCH") return undefined;
      throw error;
    }
  }

  /** The init whose exit record is in a directory, without its command; undefined: there is none. */
  async findInit(recordDir: string): Promise<SandboxProcesses | undefined> {
    const task = this.nextTask++;
    const found = new Deferred<Extract<DaemonMessage, { type: "FOUND_INIT" }>>();
    this.receivers.set(task, (message) => {
      this.receivers.delete(task);
      if (message.type === "FOUND_INIT") found.resolve(message);
    });
    this.send(encodeFindInit(task, recordDir));
    const { errno, initPid, initStartTicks } = await this.orLost(found.promise);
    if (errno === "ESRCH") return undefined;
    if (errno !== undefined) throw new NotAttached(errno);
    return { initPid, initStartTicks, ...NO_COMMAND };
  }

  async remove(scope: RemoveScope, allocId: string, taskName: string): Promise<void> {
    await this.ask("REMOVED", (task) =>
      encodeRemove(task, scope, this.defaults.allocRoot, allocId, taskName),
    );
  }

  async collect(collect: Collect): Promise<CollectedFile> {
    const { file } = await this.collecting.run(() =>
      this.ask("COLLECTED", (task) => encodeCollect(task, collect, this.defaults.allocRoot)),
    );
    return file;
  }

  /** Closes the socket, on which the launcher exits; resolves when it has. */
  async stop(): Promise<void> {
    this.socket.end();
    this.socket.destroy();
    if (
      this.process.exitCode === null &&
      this.process.signalCode === null &&
      this.process.pid !== undefined
    ) {
      await new Promise((resolve) => this.process.once("exit", resolve));
    }
  }

  /** Has a worker of the launcher's do something, and resolves to its answer; rejects with the fault that it tells. */
  private ask<T extends Worked["type"]>(
    type: T,
    encode: (task: bigint) => Buffer,
  ): Promise<Extract<Worked, { type: T }>> {
    const task = this.nextTask++;
    const answered = new Deferred<Extract<Worked, { type: T }>>();
    this.receivers.set(task, (message) => {
      if (message.type !== type) return;
      this.receivers.delete(task);
      const answer = message as Extract<Worked, { type: T }>;
      if (answer.step === undefined) answered.resolve(answer);
      else answered.reject(new HelperFault({ step: answer.step, errno: answer.errno, index: 0 }));
    });
    this.send(encode(task));
    return this.orLost(answered.promise);
  }

  /** Has a sandbox hear what is said of its task, until that is over, and of the launcher's loss. */
  private listen(sandbox: LauncherSandbox): LauncherSandbox {
    this.receivers.set(sandbox.task, (message) => sandbox.receive(message));
    const forget = this.onLoss((error) => sandbox.lose(error));
    void sandbox.ended.then(() => {
      this.receivers.delete(sandbox.task);
      forget();
    });
    return sandbox;
  }

  private hear(task: bigint, message: DaemonMessage): void {
    this.heard.push([task, message]);
    if (this.heard.length === 1) void this.tellAll();
  }

  /** In their order, and over several turns if there are many: a message may set much going in the turn that it is told in. */
  private async tellAll(): Promise<void> {
    do await turns.enter();
    while (this.tellNext());
  }

  /** False: that was the last. */
  private tellNext(): boolean {
    const next = this.heard[0];
    if (next === undefined) return false;
    const [task, message] = next;
    this.receivers.get(task)?.(message);
    this.heard.shift();
    return this.heard.length > 0;
  }

  private send(bytes: Buffer): void {
    if (this.loss !== undefined) throw this.loss;
    this.socket.write(bytes);
  }

  /** Tells of the launcher's loss, at once if that has happened; gives a function that ends it. */
  private onLoss(lost: (error: Error) => void): () => void {
    if (this.loss !== undefined) lost(this.loss);
    this.losers.add(lost);
    return () => this.losers.delete(lost);
  }

  private async orLost<T>(wanted: Promise<T>): Promise<T> {
    const lost = new Deferred<never>();
    const forget = this.onLoss((error) => {
      lost.reject(error);
    });
    try {
      return await Promise.race([wanted, lost.promise]);
    } finally {
      forget();
    }
  }

  private lose(how: string): void {
    if (this.loss !== undefined) return;
    while (this.tellNext());
    const loss = new HelperGone(how);
    this.loss = loss;
    for (const lost of [...this.losers]) lost(loss);
    this.losers.clear();
    this.goneDeferred.resolve(loss);
  }
}

const NO_PROCESSES: SandboxProcesses = { initPid: 0, initStartTicks: 0n, ...NO_COMMAND };

class LauncherSandbox implements Sandbox {
  processes: SandboxProcesses;
  private readonly readyDeferred = new Deferred<undefined>();
  private readonly overrunDeferred = new Deferred<Overrun | undefined>();
  private readonly exitedDeferred = new Deferred<InitExit | undefined>();
  private readonly endedDeferred = new Deferred<undefined>();
  private started: Deferred<{ readonly startedNs: bigint }> | undefined;
  private readonly signals: Deferred<boolean>[] = [];
  private over = false;

  /** @param attached an earlier launcher's, to be taken over; undefined: it is to be made */
  constructor(
    readonly task: bigint,
    private readonly send: (bytes: Buffer) => void,
    private readonly attached?: SandboxProcesses,
  ) {
    this.processes = attached ?? NO_PROCESSES;
    if (attached !== undefined) this.overrunDeferred.resolve(undefined);
  }

  get ready(): Promise<undefined> {
    return this.readyDeferred.promise;
  }

  get overrun(): Promise<Overrun | undefined> {
    return this.overrunDeferred.promise;
  }

  get exited(): Promise<InitExit | undefined> {
    return this.exitedDeferred.promise;
  }

  get ended(): Promise<undefined> {
    return this.endedDeferred.promise;
  }

  start(command: CommandSpec): Promise<{ readonly startedNs: bigint }> {
    const started = new Deferred<{ readonly startedNs: bigint }>();
    this.started = started;
    try {
      if (this.attached !== undefined)
        throw new Error("the task of an earlier launcher has been started already");
      if (this.over) throw endedEarly();
      this.send(fitting("EXEC", () => encodeStart(this.task, command)));
    } catch (error) {
      started.reject(error as Error);
    }
    return started.promise;
  }

  /** Rejects with HelperGone when whether it was delivered is not known. */
  signal(signal: number): Promise<boolean> {
    if (this.over) return Promise.resolve(false);
    const delivered = new Deferred<boolean>();
    this.signals.push(delivered);
    try {
      this.send(encodeSignal(this.task, signal));
    } catch (error) {
      delivered.reject(error as Error);
    }
    return delivered.promise;
  }

  /** Of a launcher that has gone, nothing. */
  killInit(): void {
    try {
      if (!this.over) this.send(encodeKillInit(this.task));
    } catch (error) {
      if (!(error instanceof HelperGone)) throw error;
    }
  }

  receive(message: DaemonMessage): void {
    switch (message.type) {
      case "READY":
        this.processes = message.processes;
        this.readyDeferred.resolve(undefined);
        return;
      case "FAULT": {
        const fault = new HelperFault(message.fault);
        if (this.started === undefined) this.readyDeferred.reject(fault);
        else this.started.reject(fault);
        return;
      }
      case "STARTED":
        this.started?.resolve({ startedNs: message.startedNs });
        return;
      case "SIGNALLED":
        this.signals.shift()?.resolve(message.errno === undefined);
        return;
      case "OVERRUN":
        this.overrunDeferred.resolve(message.overrun);
        return;
      case "EXITED":
        this.exitedDeferred.resolve(message.exit);
        return;
      case "ATTACHED":
        if (message.errno === undefined) this.readyDeferred.resolve(undefined);
        else this.end(new NotAttached(message.errno));
        return;
      case "ENDED":
        this.end(endedEarly());
        return;
      case "HELLO":
      case "FOUND_INIT":
      case "REMOVED":
      case "COLLECTED":
        return;
    }
  }

  /** Whoever still waits for a step learns that it was not heard. Of its end nothing is known. */
  lose(error: Error): void {
    this.refuse(error);
    for (const delivered of this.signals.splice(0)) delivered.reject(error);
  }

  /** Whoever still waits for a step learns that it will not come. */
  private end(error: Error): void {
    if (this.over) return;
    this.over = true;
    // An init that is killed may have let its command go.
    this.refuse(error, new StartUnknown());
    for (const delivered of this.signals.splice(0)) delivered.resolve(false);
    this.exitedDeferred.resolve(undefined);
    this.endedDeferred.resolve(undefined);
  }

  private refuse(error: Error, ofStart = error): void {
    this.readyDeferred.reject(error);
    this.readyDeferred.promise.catch(() => undefined);
    this.started?.reject(ofStart);
  }
}

/** On its own, so that nothing which lives as long as the task closes over the request. */
function createMessage(task: bigint, spec: SandboxSpec, defaults: SandboxDefaults): Buffer {
  return fitting("READ_REQUEST", () => encodeCreate(task, spec, defaults));
}

/** A message that is larger than the launcher takes is a fault of the step it is for. */
function fitting(step: HelperStep, encode: () => Buffer): Buffer {
  try {
    return encode();
  } catch (error) {
    if (error instanceof BodyTooLarge) throw new HelperFault({ step, errno: "E2BIG", index: -1 });
    throw error;
  }
}

function endedEarly(): HelperFault {
  return new HelperFault({ step: "CLONE_INIT", errno: "ESRCH", index: 0 });
}
