/**
 * The daemon's end of the launcher: one socketpair, whose messages protocol.ts encodes.
 * Node forks once, here, when the daemon starts, and never on a task's path.
 */
import { spawn, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";

import type { HelperStep } from "../../tasks/helper-step.js";
import {
  HelperFault,
  type CommandSpec,
  type InitExit,
  type RemoveScope,
  type Sandbox,
  type SandboxHost,
  type SandboxSpec,
} from "../../tasks/ports.js";
import { FairTurns } from "../../tasks/concurrency/fair-turns.js";
import { MessageSplitter } from "./message-splitter.js";
import {
  PROTOCOL_VERSION,
  encodeCreate,
  encodeKillInit,
  encodeRemove,
  encodeSignal,
  encodeStart,
  type DaemonMessage,
  type SandboxDefaults,
} from "./protocol.js";
import { BodyTooLarge } from "./wire.js";

/** How much of a turn may have gone by when another message is told in it, in milliseconds. */
const TURN_BUDGET_MS = 0.5;

const turns = new FairTurns(TURN_BUDGET_MS);

/** Takes the messages of one task, in order. */
type Receiver = (message: DaemonMessage) => void;

/** The launcher has gone; nothing that needs it can be done. */
export class LauncherGone extends Error {
  constructor(how: string) {
    super(`the launcher has gone: ${how}`);
    this.name = "LauncherGone";
  }
}

type Hello = Extract<DaemonMessage, { type: "HELLO" }>;

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

function defer<T>(): Deferred<T> {
  let settle!: Pick<Deferred<T>, "resolve" | "reject">;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...settle };
}

export class Launcher implements SandboxHost {
  private readonly receivers = new Map<bigint, Receiver>();
  private readonly heard: (readonly [bigint, DaemonMessage])[] = [];
  private readonly losers = new Set<(error: Error) => void>();
  private nextTask = 1n;
  private loss: LauncherGone | undefined;
  private readonly goneDeferred = defer<LauncherGone>();

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
    const hello = defer<Hello>();
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

  /** Resolves, with the reason, when the launcher has gone. */
  get gone(): Promise<LauncherGone> {
    return this.goneDeferred.promise;
  }

  async create(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    signal.throwIfAborted();
    const task = this.nextTask++;
    const message = createMessage(task, spec, this.defaults);
    const sandbox = new LauncherSandbox(task, (bytes) => this.send(bytes));
    this.receivers.set(task, (message) => {
      if (message.type === "ENDED") this.receivers.delete(task);
      sandbox.receive(message);
    });
    const forget = this.onLoss((error) => sandbox.lose(error));
    void sandbox.ended.then(forget);
    const onAbort = (): void => sandbox.killInit();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      this.send(message);
      await sandbox.ready;
      signal.throwIfAborted();
      return sandbox;
    } catch (error) {
      await sandbox.ended;
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async remove(scope: RemoveScope, allocId: string, taskName: string): Promise<void> {
    const task = this.nextTask++;
    const removed = defer<undefined>();
    this.receivers.set(task, (message) => {
      if (message.type !== "REMOVED") return;
      this.receivers.delete(task);
      if (message.step === undefined) removed.resolve(undefined);
      else removed.reject(new HelperFault({ step: message.step, errno: message.errno, index: 0 }));
    });
    this.send(encodeRemove(task, scope, this.defaults.allocRoot, allocId, taskName));
    await this.orLost(removed.promise);
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
    const lost = defer<never>();
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
    const loss = new LauncherGone(how);
    this.loss = loss;
    for (const lost of [...this.losers]) lost(loss);
    this.losers.clear();
    this.goneDeferred.resolve(loss);
  }
}

class LauncherSandbox implements Sandbox {
  initPid = 0;
  commandPid = 0;
  initStartTicks = 0n;
  private readonly readyDeferred = defer<undefined>();
  private readonly exitedDeferred = defer<InitExit | undefined>();
  private readonly endedDeferred = defer<undefined>();
  private started: Deferred<{ readonly startedNs: bigint }> | undefined;
  private readonly signals: Deferred<boolean>[] = [];
  private over = false;

  constructor(
    private readonly task: bigint,
    private readonly send: (bytes: Buffer) => void,
  ) {}

  get ready(): Promise<undefined> {
    return this.readyDeferred.promise;
  }

  get exited(): Promise<InitExit | undefined> {
    return this.exitedDeferred.promise;
  }

  get ended(): Promise<undefined> {
    return this.endedDeferred.promise;
  }

  start(command: CommandSpec): Promise<{ readonly startedNs: bigint }> {
    const started = defer<{ readonly startedNs: bigint }>();
    this.started = started;
    try {
      if (this.over) throw endedEarly();
      this.send(fitting("EXEC", () => encodeStart(this.task, command)));
    } catch (error) {
      started.reject(error as Error);
    }
    return started.promise;
  }

  signal(signal: number): Promise<boolean> {
    if (this.over) return Promise.resolve(false);
    const delivered = defer<boolean>();
    this.signals.push(delivered);
    this.send(encodeSignal(this.task, signal));
    return delivered.promise;
  }

  killInit(): void {
    if (!this.over) this.send(encodeKillInit(this.task));
  }

  receive(message: DaemonMessage): void {
    switch (message.type) {
      case "READY":
        this.initPid = message.initPid;
        this.commandPid = message.commandPid;
        this.initStartTicks = message.initStartTicks;
        this.readyDeferred.resolve(undefined);
        return;
      case "FAULT": {
        const fault = new HelperFault({ step: message.step, errno: message.errno, index: message.index });
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
      case "EXITED":
        this.exitedDeferred.resolve(message.exit);
        return;
      case "ENDED":
        this.end(endedEarly());
        return;
      case "HELLO":
      case "REMOVED":
        return;
    }
  }

  lose(error: Error): void {
    this.end(error);
  }

  /** Whoever still waits for a step learns that it will not come. */
  private end(error: Error): void {
    if (this.over) return;
    this.over = true;
    this.readyDeferred.reject(error);
    this.readyDeferred.promise.catch(() => undefined);
    this.started?.reject(error);
    for (const delivered of this.signals.splice(0)) delivered.resolve(false);
    this.exitedDeferred.resolve(undefined);
    this.endedDeferred.resolve(undefined);
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
