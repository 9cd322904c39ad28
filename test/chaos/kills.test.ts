/**
 * I2 to I4: daemon, launcher or both are killed at random instants, with tasks live that are configured, started,
 * ended and recorded all the time. Each task's witness says how it should have ended.
 *
 * STOCKADE_CHAOS_KILLS: how many kills; STOCKADE_CHAOS_SEED: of the instants and victims, and of what each lane runs,
 * printed at the beginning.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { ExitReason, StockadeError, type Exit } from "../../src/client";
import { TestDaemon, until } from "../support/daemon";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { isLoss, survive, textOf } from "../support/losses";
import { Random } from "../support/random";
import { itRequires } from "../support/requires";

const KILLS = Number(process.env["STOCKADE_CHAOS_KILLS"] ?? 300);
const SEED = Number(process.env["STOCKADE_CHAOS_SEED"] ?? Date.now() % 2 ** 31);
const LANES = 20;

/** Some seconds a kill, on the slowest machine. */
const PATIENCE_MS = KILLS * 5_000;

/** Longer than that no write of a task may take, in microseconds. */
const WRITE_US_MAX = 1_000_000;

type Phase = "configure" | "start" | "run" | "end";

interface Plan {
  readonly lines: number;
  readonly pauseUs: number;
  readonly end: readonly ["exit" | "signal", number];
}

interface Finished {
  readonly id: string;
  readonly plan: Plan;
  readonly exit: Exit;
  readonly truth: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

class Chaos {
  readonly finished: Finished[] = [];
  readonly problems: string[] = [];
  readonly killed: Record<Phase, number> = { configure: 0, start: 0, run: 0, end: 0 };
  /** Of kills, how many came while some task was in no quiet phase. */
  hits = 0;
  over = false;
  /** Of its own, as each lane's: who draws first is for the processors to say, and no seed would bring that back. */
  private readonly killer: Random;
  private kills = 0;
  private readonly phases = new Map<number, Phase>();
  private names = 0;

  constructor(
    private readonly daemon: TestDaemon,
    private readonly mounts: Fixtures["mounts"],
    private readonly seed: number,
  ) {
    this.killer = new Random(seed);
  }

  /** One task after the other. */
  async lane(lane: number): Promise<void> {
    const random = new Random(this.seed + 1 + lane);
    while (!this.over) {
      try {
        await this.task(lane, random);
      } catch (error) {
        this.problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
        return;
      }
    }
  }

  async kill(): Promise<void> {
    // Most of what has just been restarted is configured; a while later, most of it runs and ends.
    await sleep(this.killer.pick([this.killer.between(1, 100), this.killer.between(1, 1_500)]));
    this.kills++;
    const target = this.killer.pick(["daemon", "launcher", "both"] as const);
    const phases = [...this.phases].map(([lane, phase]) => this.phaseNow(lane, phase));
    for (const phase of phases) this.killed[phase]++;
    if (phases.some((phase) => phase !== "run")) this.hits++;
    if (target !== "daemon") {
      // The one killed last may not have been followed by another yet, or be reaped between the list and the kill.
      await until(() => this.daemon.launchers().some(killPid));
    }
    if (target !== "launcher") await this.daemon.restart("SIGKILL");
  }

  private readonly truthFiles = new Map<number, string>();

  /** A witness that has written its end is ending, or ended and not cleaned up. */
  private phaseNow(lane: number, phase: Phase): Phase {
    const file = this.truthFiles.get(lane);
    return phase === "run" && file !== undefined && /exit|signal/.test(textOf(file) ?? "") ? "end" : phase;
  }

  private async task(lane: number, random: Random): Promise<void> {
    const plan: Plan = {
      lines: random.pick([1, 3, 20, 200]),
      pauseUs: random.pick([0, 200, 2_000]),
      end: random.pick([
        ["exit", 0],
        ["exit", random.between(1, 99)],
        ["signal", 9],
        ["signal", 11],
      ] as const),
    };
    const { kills } = this;
    const id = await this.configure(lane, plan);
    if (id === undefined) return;
    const truthFile = this.truthFiles.get(lane) ?? "";
    this.phases.set(lane, "start");
    await survive(async () => {
      try {
        await this.daemon.client.start(id);
      } catch (error) {
        // An unstarted task ends with the launcher, and a call that was cut off may have been heard.
        const reason = error instanceof StockadeError ? error.reason : undefined;
        if (this.kills === kills || !["ENDED", "ALREADY_STARTED"].includes(reason ?? "")) throw error;
      }
    });
    this.phases.set(lane, "run");
    const exit = await survive(async () => (await this.daemon.client.wait(id)).exit);
    this.phases.delete(lane);
    if (exit === undefined) throw new Error(`${id}: Wait has no exit`);
    this.finished.push({ id, plan, exit, truth: textOf(truthFile), ...(await this.daemon.output(id)) });
  }

  /** Undefined: nobody has answered, and nothing is to have come of it. */
  private async configure(lane: number, { lines, pauseUs, end }: Plan): Promise<string | undefined> {
    const name = `c${this.names++}`;
    this.truthFiles.set(lane, join(this.daemon.allocDir(name), "t/local/truth"));
    this.phases.set(lane, "configure");
    try {
      const { id } = await this.daemon.client.configure({
        allocId: name,
        taskName: "t",
        command: `${FIXTURES}/witness`,
        args: ["/local/truth", String(lines), String(pauseUs), ...end.map(String)],
        mounts: this.mounts,
      });
      return id;
    } catch (error) {
      if (!isLoss(error)) throw error;
      await sleep(20);
      return undefined;
    } finally {
      this.phases.delete(lane);
    }
  }
}

/** False: there is no such process any more. */
function killPid(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** What is not as the witness has it; undefined: nothing. */
function lieOf({ id, plan, exit, truth, stdout, stderr }: Finished): string | undefined {
  const lines = Array.from({ length: plan.lines }, (_line, index) => `line ${index + 1}\n`).join("");
  const lie = (what: string): string => `${id}: ${what} (${JSON.stringify(plan)}, ${truth}, ${exit.reason})`;
  if (truth === undefined) {
    return exit.reason === ExitReason.EXIT_REASON_NEVER_STARTED ? undefined : lie("it has left no trace");
  }
  const [written, longestUs, how, number] = truth.split(" ");
  if (how === undefined) return lie("it was not let be");
  if (Number(longestUs) > WRITE_US_MAX) return lie("a write was held up");
  if (written !== String(plan.lines) || stdout !== lines || stderr !== lines)
    return lie("output is not whole");
  const status = exit.status;
  const wanted = how === "exit" ? "exitCode" : "signal";
  if (status?.$case !== wanted || String(status.value) !== number) return lie("another exit");
  return undefined;
}

/** What may be in the daemon's directory: its own files, and of each task the record, the logs and the alloc directory. */
function isExpected(file: string, allocs: ReadonlySet<string>): boolean {
  const [, alloc, below] = /^alloc\/([^/]+)(?:\/(.+))?$/.exec(file) ?? [];
  if (alloc !== undefined && alloc !== ".owner") {
    return allocs.has(alloc) && /^(alloc(\/(logs|tmp|data))?|t\d*(\/local(\/[^/]+)?)?)$/.test(below ?? "t");
  }
  return /^(config\.json|stockaded\.sock|alloc(\/\.owner)?|state(\/id|\/tasks(\/[^/]+(\/(record|exit|log(\/std(out|err))?))?)?)?)$/.test(
    file,
  );
}

itRequires(
  "cgroups",
  `${KILLS} kills, seed ${SEED}: nothing is lost, and nothing is left`,
  async () => {
    process.stdout.write(`chaos: STOCKADE_CHAOS_SEED=${SEED} STOCKADE_CHAOS_KILLS=${KILLS}\n`);
    await using fixtures = await Fixtures.make("witness");
    // In the end each record says whose the directories are.
    const kept = { end_tasks_on_stop: false, ended_max_records: 1_000_000 };
    await using daemon = await TestDaemon.start({ ...fixtures.config, ...kept });
    const chaos = new Chaos(daemon, fixtures.mounts, SEED);
    const lanes = Array.from({ length: LANES }, (_lane, index) => chaos.lane(index));
    try {
      for (let kills = 0; kills < KILLS && chaos.problems.length === 0; kills++) await chaos.kill();
    } finally {
      chaos.over = true;
      await Promise.all(lanes);
    }
    process.stdout.write(
      `chaos: ${KILLS} kills, ${chaos.hits} of them while a task was configured, started or ended ` +
        `(${JSON.stringify(chaos.killed)}); ${chaos.finished.length} exits, ` +
        `${chaos.finished.reduce((sum, { stdout }) => sum + 2 * stdout.split("\n").length, 0)} lines\n`,
    );
    expect(chaos.problems).toEqual([]);
    expect(chaos.finished.map(lieOf).filter((lie) => lie !== undefined)).toEqual([]);
    expect(chaos.finished.length).toBeGreaterThan(KILLS);
    expect(chaos.hits / KILLS).toBeGreaterThanOrEqual(0.4);

    // Once one that nobody has disturbed has run, there is nothing but what an idle daemon has.
    await daemon.run("true");
    await until(() => daemon.leftovers().length === 0);
    // What is synced in groups is open for a moment, so it may be counted in the first: a task of three would still show.
    const before = daemon.descriptors();
    for (let task = 0; task < 3; task++) await daemon.run("true");
    await until(() => daemon.descriptors() <= before);
    const known = new Set(chaos.finished.map(({ id }) => id.split("/").at(-1)));
    const records = await readdir(join(daemon.daemon.directory, "state/tasks"));
    const unknown = records.filter((uuid) => !known.has(uuid));
    const texts = await Promise.all(
      unknown.map((uuid) => readFile(join(daemon.daemon.directory, "state/tasks", uuid, "record"), "utf8")),
    );
    // Of calls that were cut off between the answer and the client.
    for (const text of texts) expect(text).toMatch(/NEVER_STARTED|"taskName": ?"t[0-9]+"/);
    const files = await readdir(daemon.daemon.directory, { recursive: true });
    const tasks = chaos.finished.map(({ id }) => daemon.record(id));
    const owners = new Set(
      [...texts, ...(await Promise.all(tasks))].map((text) => /"allocId": "(.+)"/.exec(text)?.[1] ?? ""),
    );
    expect(files.filter((file) => !isExpected(file, owners))).toEqual([]);
  },
  PATIENCE_MS,
);
