/**
 * Keeps a launcher: when one goes, the next one takes over the sandboxes that it had, which go on meanwhile. Whoever
 * holds a sandbox learns nothing of that, but that a start may not have been heard.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { Overrun } from "../../tasks/exit.js";
import { Deferred } from "../../tasks/concurrency/deferred.js";
import {
  HelperGone,
  StartUnknown,
  type Collect,
  type CollectedFile,
  type CommandSpec,
  type InitExit,
  type Log,
  type RemoveScope,
  type Sandbox,
  type SandboxHost,
  type SandboxProcesses,
  type SandboxSpec,
} from "../../tasks/ports.js";
import { startTicks } from "../process-stat.js";
import { NO_COMMAND, type Launcher } from "./launcher.js";

/** How often in a row a launcher may fail to start or to take over, and how long it is waited between, in milliseconds. */
const START_TRIES = 5;
const START_DELAY_MS = 200;

/** Inits whose launcher has gone before they were asked for go by themselves: how long they are given, in milliseconds. */
const STRAY_PATIENCE_MS = 200;
const STRAY_LOOK_MS = 2;
const STRAY_TIMEOUT_MS = 10_000;

export interface LauncherKeeperParts {
  readonly startAnother: () => Promise<Launcher>;
  /** The pids of all that is where inits belong; none where that cannot be known. */
  readonly initPids: () => Promise<readonly number[]>;
  readonly log: Log;
}

export class LauncherKeeper implements SandboxHost {
  private readonly held = new Set<HeldSandbox>();
  private readonly given = new Deferred<Error>();
  private stopping = false;
  /** Whatever else is where inits belong is nobody's. Until it has been said so, it may be about to be attached. */
  private holdsAll = false;
  private current: Promise<Launcher>;

  constructor(
    first: Launcher,
    private readonly parts: LauncherKeeperParts,
  ) {
    this.current = Promise.resolve(first);
    this.watch(first);
  }

  /** Resolves, with the reason, when there is no launcher and none can be made. */
  get gone(): Promise<Error> {
    return this.given.promise;
  }

  async create(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    const { current } = this;
    const sandbox = await (await current).create(spec, signal);
    // An init that waits for Start goes with its launcher.
    if (current !== this.current) throw new HelperGone("as it had made the task");
    return this.hold(sandbox);
  }

  async attach(processes: SandboxProcesses): Promise<Sandbox | undefined> {
    const sandbox = await this.insist((launcher) => launcher.attach(processes));
    return sandbox === undefined ? undefined : this.hold(sandbox);
  }

  /** What is removed already is no error. */
  remove(scope: RemoveScope, allocId: string, taskName: string): Promise<void> {
    return this.insist((launcher) => launcher.remove(scope, allocId, taskName));
  }

  collect(collect: Collect): Promise<CollectedFile> {
    return this.insist((launcher) => launcher.collect(collect));
  }

  async killHolder(recordDir: string): Promise<number | undefined> {
    const processes = await this.insist((launcher) => launcher.findInit(recordDir));
    if (processes === undefined) return undefined;
    const sandbox = await this.attach(processes);
    sandbox?.killInit();
    const late = sleep(STRAY_TIMEOUT_MS, "late", { ref: false });
    if ((await Promise.race([sandbox?.ended, late])) === "late") {
      this.parts.log.error("an init of no task does not end", { pid: processes.initPid });
    }
    return processes.initPid;
  }

  async killStrays(): Promise<void> {
    await this.insist((launcher) => this.killStraysBy(launcher));
    this.holdsAll = true;
  }

  /** Inits whose command has been started go on without a launcher. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.current.then(
      (launcher) => launcher.stop(),
      () => undefined,
    );
  }

  /** What can be done again: of a launcher that has gone meanwhile, by the next one. */
  private async insist<T>(act: (launcher: Launcher) => Promise<T>): Promise<T> {
    for (;;) {
      const { current } = this;
      const launcher = await current;
      try {
        const done = await act(launcher);
        if (current === this.current) return done;
      } catch (error) {
        if (!(error instanceof HelperGone) || this.stopping) throw error;
        // Who else hears of the loss sees to the next one.
        if (current === this.current) await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  private hold(sandbox: Sandbox): Sandbox {
    const held = new HeldSandbox(sandbox);
    this.held.add(held);
    void held.ended.then(() => this.held.delete(held));
    return held;
  }

  private watch(launcher: Launcher): void {
    void launcher.gone.then((loss) => {
      if (this.stopping) return;
      this.parts.log.error("the launcher has gone; the next one takes over", { error: loss });
      for (const held of this.held) held.letGo();
      this.current = this.next();
      this.current.catch((error: unknown) => this.given.resolve(error as Error));
    });
  }

  /** One that goes before it has taken over is followed by another. */
  private async next(): Promise<Launcher> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.takeOver();
      } catch (error) {
        if (tries === START_TRIES || this.stopping) throw error;
        this.parts.log.error("a launcher cannot take over; the next one tries", { error });
        for (const held of this.held) held.letGo();
        await sleep(START_DELAY_MS);
      }
    }
  }

  private async takeOver(): Promise<Launcher> {
    const launcher = await this.parts.startAnother();
    try {
      await Promise.all([...this.held].map((held) => held.takeOver(launcher)));
      if (this.holdsAll) await this.killStraysBy(launcher);
    } catch (error) {
      await launcher.stop().catch(() => undefined);
      throw error;
    }
    this.watch(launcher);
    return launcher;
  }

  private async killStraysBy(launcher: Launcher): Promise<void> {
    const begun = performance.now();
    for (;;) {
      const known = new Set([launcher.pid, ...[...this.held].map(({ processes }) => processes.initPid)]);
      const strays = (await this.parts.initPids()).filter((pid) => !known.has(pid));
      if (strays.length === 0) return;
      const waited = performance.now() - begun;
      if (waited > STRAY_TIMEOUT_MS) {
        this.parts.log.error("inits of no task do not end", { pids: strays });
        return;
      }
      if (waited > STRAY_PATIENCE_MS) await Promise.all(strays.map((pid) => killStray(launcher, pid)));
      await sleep(STRAY_LOOK_MS);
    }
  }
}

async function killStray(launcher: Launcher, initPid: number): Promise<void> {
  const initStartTicks = await startTicks(initPid);
  if (initStartTicks === undefined) return;
  const stray = await launcher.attach({ initPid, initStartTicks, ...NO_COMMAND });
  stray?.killInit();
}

/** A sandbox by way of whichever launcher there is. */
class HeldSandbox implements Sandbox {
  readonly processes: SandboxProcesses;
  private readonly overrunDeferred = new Deferred<Overrun | undefined>();
  private readonly exitedDeferred = new Deferred<InitExit | undefined>();
  private readonly endedDeferred = new Deferred<undefined>();
  private by = new Deferred<Sandbox | undefined>();
  private isFollowed = false;
  private killAsked = false;

  constructor(sandbox: Sandbox) {
    this.processes = sandbox.processes;
    this.follow(sandbox);
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

  async start(command: CommandSpec): Promise<{ readonly startedNs: bigint }> {
    const sandbox = await this.by.promise;
    if (sandbox === undefined) throw new StartUnknown();
    try {
      return await sandbox.start(command);
    } catch (error) {
      throw error instanceof HelperGone ? new StartUnknown() : error;
    }
  }

  async signal(signal: number): Promise<boolean> {
    for (;;) {
      const by = this.by;
      const sandbox = await by.promise;
      if (sandbox === undefined) return false;
      try {
        return await sandbox.signal(signal);
      } catch (error) {
        if (!(error instanceof HelperGone)) throw error;
        // Whether it was delivered is not known.
        if (by === this.by) await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  killInit(): void {
    this.killAsked = true;
    void this.by.promise.then((sandbox) => sandbox?.killInit());
  }

  /** The launcher that it went by, if it did, has gone. Whoever waits for the next one waits on. */
  letGo(): void {
    if (this.isFollowed) this.by = new Deferred();
    this.isFollowed = false;
  }

  async takeOver(launcher: Launcher): Promise<void> {
    const sandbox = await launcher.attach(this.processes);
    if (sandbox !== undefined) {
      this.follow(sandbox);
      if (this.killAsked) sandbox.killInit();
      return;
    }
    this.by.resolve(undefined);
    this.exitedDeferred.resolve(undefined);
    this.endedDeferred.resolve(undefined);
  }

  private follow(sandbox: Sandbox): void {
    this.isFollowed = true;
    this.by.resolve(sandbox);
    void sandbox.overrun.then((cause) => this.overrunDeferred.resolve(cause));
    void sandbox.exited.then((exit) => this.exitedDeferred.resolve(exit));
    void sandbox.ended.then(() => this.endedDeferred.resolve(undefined));
  }
}
