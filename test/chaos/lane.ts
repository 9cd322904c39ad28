/** A daemon that is killed over and over at its steps, and what is looked at after each kill. */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

import { ExitReason } from "../../src/client";
import { TestDaemon, until } from "../support/daemon";
import type { Fixtures } from "../support/fixtures";
import { survive } from "../support/losses";
import { StepKiller, type KillPoint } from "../support/step-killer";
import { allocs, entries, records } from "../support/task-files";
import { CALL, lieOf, Play, THE_END, UNTIL_TOLD, type Stage, type Story } from "./stories";

export class Lane implements AsyncDisposable, Stage {
  private names = 0;
  /** The step at which the last kill came; undefined: what it was to come in was over before. */
  killedAt: string | undefined;
  /** What there is of the task that is to notice nothing. */
  private usual: ReadonlySet<string> = new Set();
  /** The record directories that there are, and may be. */
  private readonly known = new Set<string>();

  private constructor(
    readonly daemon: TestDaemon,
    readonly killer: StepKiller,
    readonly tree: string,
  ) {}

  static async start(library: string, orders: string, fixtures: Fixtures): Promise<Lane> {
    const killer = new StepKiller(library, orders);
    const config = { ...fixtures.config, end_tasks_on_stop: false };
    return new Lane(await TestDaemon.start(config, undefined, killer.env), killer, fixtures.directory);
  }

  wasKilled(): boolean {
    return this.killedAt !== undefined || this.killer.killedAt() !== undefined;
  }

  /** Runs a task, from its first line to its last, around `act`; what it has noticed. */
  async beside(act: () => Promise<void>): Promise<readonly string[]> {
    const bystander = this.play(UNTIL_TOLD);
    await bystander.configure();
    await bystander.start();
    this.usual = new Set(this.daemon.leftovers());
    try {
      await act();
    } finally {
      this.tell(bystander);
      await bystander.end();
    }
    this.usual = new Set();
    return (await this.lies(bystander)).map((lie) => `the bystander: ${lie}`);
  }

  /** The steps of a story in which nothing is killed. */
  async stepsOf(story: Story): Promise<readonly string[]> {
    const play = this.play(story);
    await play.run(() => this.killer.arm(this.daemon));
    const steps = this.killer.steps();
    this.killer.disarm();
    expect(await this.lies(play)).toEqual([]);
    return steps;
  }

  /** What is wrong after a kill. */
  async killIn(story: Story, point: KillPoint): Promise<readonly string[]> {
    this.killedAt = undefined;
    return this.around(story, (play) =>
      this.restartIfKilled(play.run(() => this.killer.arm(this.daemon, point))),
    );
  }

  /** The same, where the launcher is killed by somebody else, at `step`, if at all before `over` is called. */
  async killedBesides(story: Story, step: string, over: () => Promise<unknown>): Promise<readonly string[]> {
    this.killedAt = step;
    return this.around(story, async (play) => {
      await play.run(() => undefined);
      await over();
    });
  }

  /** The steps of a start that finds tasks. */
  async stepsOfStart(): Promise<readonly string[]> {
    const found = await this.leaveTasks();
    this.killer.arm(this.daemon);
    await this.daemon.startAgain();
    await found.end();
    const steps = this.killer.steps();
    this.killer.disarm();
    expect(await this.liesOfFound(found)).toEqual([]);
    return steps;
  }

  /** What is wrong after a kill in a start that finds tasks, and the start after that. */
  async killInStart(point: KillPoint): Promise<readonly string[]> {
    this.killedAt = undefined;
    const found = await this.leaveTasks();
    this.killer.arm(this.daemon, point);
    try {
      await this.daemon.startAgain();
    } catch (error) {
      // Without its launcher it may end, and say so.
      this.killedAt = this.killer.killedAt();
      if (this.killedAt === undefined) throw error;
      this.killer.disarm();
      await this.daemon.startAgain();
    }
    await this.restartIfKilled(found.end());
    const left = [found.waits, found.ends].flatMap(({ name }) => this.whatIsLeft(name));
    return [...(await this.liesOfFound(found)), ...left];
  }

  /** What there is in the daemon's directories that no task is known to have. */
  unknown(): readonly string[] {
    const { daemon } = this;
    const state = readdirSync(join(daemon.daemon.directory, "state")).filter(
      (name) => name !== "id" && name !== "tasks",
    );
    const known = new Set([...this.known, ...daemon.configured.map((id) => basename(id))]);
    const uuids = records(daemon).filter((uuid) => !known.has(uuid));
    return [...state, ...uuids, ...allocs(daemon).filter((name) => !/^[st][0-9]+$/.test(name))];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.killer.disarm();
    await this.daemon.startUnlessRunning();
    await this.daemon[Symbol.asyncDispose]();
  }

  private async around(story: Story, run: (play: Play) => Promise<void>): Promise<readonly string[]> {
    const play = this.play(story);
    const before = records(this.daemon);
    await run(play);
    const lies = await this.lies(play);
    return [...lies, ...(await this.nextRun(play, before)), ...this.whatIsLeft(play.name)];
  }

  private play(story: Story): Play {
    return new Play(this, `s${this.names++}`, story);
  }

  /** Has a task end that does so when it is told to. */
  private tell({ truthFile }: Play): void {
    writeFileSync(`${truthFile}.end`, "");
  }

  /** Resolves when `run` has; the kill may come before that. */
  private async restartIfKilled(run: Promise<void>): Promise<void> {
    const { daemon, killer } = this;
    const { pid } = daemon;
    let over = false;
    const ran = run.finally(() => (over = true));
    ran.catch(() => undefined);
    await until(() => over || killer.killedAt() !== undefined, CALL.timeoutMs);
    const killedAt = killer.killedAt();
    if (killedAt !== undefined && this.killedAt === undefined) {
      this.killedAt = killedAt;
      if (killer.kills("daemon")) {
        await until(() => !existsSync(`/proc/${pid}`));
        killer.disarm();
        await daemon.restart("SIGKILL");
      }
    }
    await ran;
    killer.disarm();
  }

  /** A daemon's tasks for the next to find: one that waits for Start, and one that ends while there is no daemon. */
  private async leaveTasks(): Promise<Found> {
    const [waits, ends] = [this.play(THE_END), this.play(UNTIL_TOLD)];
    await Promise.all([waits.configure(), ends.configure()]);
    await ends.start();
    await this.daemon.end("SIGKILL");
    this.tell(ends);
    await until(() => ends.truth?.includes("exit") === true);
    return { waits, ends, end: () => Promise.all([waits.end(), ends.end()]).then(() => undefined) };
  }

  private async liesOfFound({ waits, ends }: Found): Promise<readonly string[]> {
    const started = waits.exit?.reason !== ExitReason.EXIT_REASON_NEVER_STARTED;
    const lies = [...(await this.lies(waits)), ...(await this.lies(ends))];
    return started ? [...lies, "what waited for Start was started"] : lies;
  }

  /** What is not as the task has it. From here on its record may be there. */
  private async lies(play: Play): Promise<readonly string[]> {
    const { id } = play;
    const output = id === undefined ? { stdout: "", stderr: "" } : await this.daemon.output(id);
    if (id !== undefined) this.known.add(basename(id));
    const lie = lieOf(play, output);
    return lie === undefined ? [] : [lie];
  }

  /** Another run of the same name works at once. What nobody was told of is gone, or was never started. */
  private async nextRun(play: Play, before: readonly string[]): Promise<readonly string[]> {
    const { daemon } = this;
    const wrong: string[] = [];
    const unknown = records(daemon).filter((uuid) => !before.includes(uuid) && !this.known.has(uuid));
    if (unknown.length > 0 && play.refused) wrong.push("a record is left of what was refused");
    if (unknown.length === 0 && play.id === undefined && entries(daemon, play.name).length > 0)
      wrong.push("directories are left of what was not configured");
    const next = new Play(this, play.name, THE_END);
    await next.run(() => undefined);
    wrong.push(...(await this.lies(next)).map((lie) => `the next run: ${lie}`));
    if (next.id === undefined || !next.startAnswered) wrong.push("the next run was not started");
    for (const uuid of unknown) {
      const id = `CGROUP:${daemon.cgroupRoot}/${uuid}`;
      const { exit } = await survive(() => daemon.client.wait(id, CALL));
      this.known.add(uuid);
      if (exit?.reason !== ExitReason.EXIT_REASON_NEVER_STARTED)
        wrong.push(`nobody was told of ${id}, and it ended with ${exit?.reason}`);
    }
    return wrong;
  }

  /** Of tasks that have all ended, one of them with these names. */
  private whatIsLeft(name: string): readonly string[] {
    const { daemon } = this;
    const wrong: string[] = [];
    if (entries(daemon, name).join() !== ["alloc", name].sort().join())
      wrong.push(`the alloc directory has ${entries(daemon, name).join()}`);
    const trees = readdirSync(join(daemon.allocDir(name), name));
    if (trees.join() !== "local") wrong.push(`the task directory has ${trees.join()}`);
    const more = daemon.leftovers().filter((what) => !this.usual.has(what));
    return [...wrong, ...more.map((what) => `${what} is left`)];
  }
}

interface Found {
  readonly waits: Play;
  readonly ends: Play;
  readonly end: () => Promise<void>;
}
