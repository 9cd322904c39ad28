/**
 * I2 to I4: daemon, launcher or both are killed at each step by which the daemon makes, limits, starts, ends and cleans
 * up a task, writes its record, and finds it again. A task's own file says what became of it, and Wait has to say the
 * same.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { TO_LAUNCHER } from "../../src/host/helper/protocol";
import { cgroupMounts, descriptors, until } from "../support/daemon";
import { Fixtures } from "../support/fixtures";
import { itRequires } from "../support/requires";
import { compileStepKiller, VICTIMS, type KillPoint, type Victim } from "../support/step-killer";
import { Scratch } from "../support/task-files";
import { Lane } from "./lane";
import { STORIES } from "./stories";

const PATIENCE_MS = 900_000;
/** How often a point is tried to be come to: what two threads do at one time may be done by one of them alone. */
const TRIES = 3;

/** Something that a daemon does, in which it can be killed. */
interface Scene {
  readonly name: string;
  steps(lane: Lane): Promise<readonly string[]>;
  /** What is wrong after the kill. */
  kill(lane: Lane, point: KillPoint): Promise<readonly string[]>;
  /** Whether a step is its own, or is not to be killed at here. */
  isOwn(steps: readonly string[], index: number): boolean;
  /** Each step for each victim, or for one of them, by turns. */
  readonly everyVictim: boolean;
}

const SCENES: readonly Scene[] = [
  ...STORIES.map((story) => ({
    name: story.name,
    steps: (lane: Lane) => lane.stepsOf(story),
    kill: (lane: Lane, point: KillPoint) => lane.killIn(story, point),
    // Until its request is sent, one that cannot be configured is as any other.
    isOwn: (steps: readonly string[], index: number) =>
      story.from !== "failed" || index > steps.indexOf("send CREATE"),
    everyVictim: true,
  })),
  {
    name: "the next daemon starts",
    steps: (lane) => lane.stepsOfStart(),
    kill: (lane, point) => lane.killInStart(point),
    isOwn: (steps, index) => !isThere(steps[index]),
    // Each kill takes two starts.
    everyVictim: false,
  },
];

/** A file of a task that has ended is copied, which test/long/transfer-faults.test.ts has; an init is found where there are no cgroups. */
const NOT_OF_LIVES: readonly string[] = ["COLLECT", "FIND_INIT"];

/** Steps that must be among those that are counted: none of their kind is made where it is not seen. */
function expectedSteps(cgroupRoot: string): readonly RegExp[] {
  const hierarchies = cgroupMounts().filter((mount) => existsSync(join(mount, cgroupRoot)));
  return [
    /^mkdir <directory>\/state\/tasks\/<uuid>$/,
    ...["create", "write"].map((call) => new RegExp(`^${call} <directory>/state/tasks/<uuid>/record.new$`)),
    /^rename <directory>\/state\/tasks\/<uuid>\/record$/,
    /^unlink <directory>\/state\/tasks\/<uuid>\/record$/,
    /^rmdir <directory>\/state\/tasks\/<uuid>$/,
    ...hierarchies.flatMap((mount) =>
      ["mkdir", "rmdir"].map((call) => new RegExp(`^${call} ${mount}<root>/<uuid>$`)),
    ),
    /^write .*<root>\/<uuid>\/memory\.(limit_in_bytes|max)$/,
    /^write .*<root>\/<uuid>\/pids\.max$/,
    /^write .*<root>\/<uuid>\/cgroup\.kill$|^kill KILL$/,
    ...Object.keys(TO_LAUNCHER)
      .filter((name) => !NOT_OF_LIVES.includes(name))
      .map((name) => new RegExp(`^send ${name}$`)),
  ];
}

interface Shot {
  readonly scene: Scene;
  readonly point: KillPoint;
}

/** The directories that every daemon makes, and that are there already when it is the next. */
function isThere(step = ""): boolean {
  return /^mkdir (<directory>(\/state|\/alloc|\/state\/tasks)?|.*<root>(\/inits)?)$/.test(step);
}

/** What is done in each hierarchy at one time, in no order. */
function isOfHierarchy(step = ""): boolean {
  return /^(mk|rm)dir .*<root>\/<uuid>$|^write .*<root>\/inits\/cgroup\.procs$/.test(step);
}

/**
 * Each step of a scene's own, before it is made; those that somebody else hears of, also after. Of all hierarchies
 * the first and the last, once they have been seen.
 */
function shotsAt(scene: Scene, steps: readonly string[], seen: ReadonlySet<string>): readonly Shot[] {
  const times = new Map<string, number>();
  return steps.flatMap((step, index) => {
    const nth = (times.get(step) ?? 0) + 1;
    times.set(step, nth);
    const isBetween = [index - 1, index, index + 1].every((at) => isOfHierarchy(steps[at]));
    const isSeen = isBetween && (seen.has(step) || !scene.everyVictim);
    if (isSeen || !scene.isOwn(steps, index)) return [];
    const whens = /^(send|rename)/.test(step) ? (["before", "after"] as const) : (["before"] as const);
    const victims = VICTIMS.filter((_victim, turn) => scene.everyVictim || turn === index % VICTIMS.length);
    return whens.flatMap((when) => victims.map((victim) => ({ scene, point: { step, nth, victim, when } })));
  });
}

/** What is to be killed at, what has been, and what came of it. */
class Matrix {
  readonly shots: Shot[] = [];
  readonly wrong: string[] = [];
  /** Those that each victim is to be killed at. */
  readonly steps = new Set<string>();
  readonly missing: RegExp[] = [];
  readonly killed: Record<Victim, Set<string>> = { daemon: new Set(), launcher: new Set(), both: new Set() };
  kills = 0;
  missed = 0;

  async plan(lane: Lane): Promise<void> {
    const counted = new Set<string>();
    for (const scene of SCENES) {
      const steps = await scene.steps(lane);
      this.shots.push(...shotsAt(scene, steps, counted));
      for (const step of steps) counted.add(step);
    }
    for (const { scene, point } of this.shots) if (scene.everyVictim) this.steps.add(point.step);
    const expected = expectedSteps(lane.daemon.cgroupRoot);
    this.missing.push(...expected.filter((step) => ![...counted].some((name) => step.test(name))));
  }

  /** Shoots as long as there are shots. */
  async shoot(lane: Lane): Promise<void> {
    for (let shot = this.shots.shift(); shot !== undefined; shot = this.shots.shift()) {
      let hit = false;
      for (let tries = 0; tries < TRIES && !hit; tries++) hit = await this.kill(lane, shot);
      if (!hit) this.missed++;
    }
  }

  /** False: the point was not come to. */
  private async kill(lane: Lane, { scene, point }: Shot): Promise<boolean> {
    const { step, nth, victim, when } = point;
    const say = (lie: string): void => {
      this.wrong.push(`${scene.name}; ${victim} killed ${when} ${step} (${nth}): ${lie}`);
    };
    try {
      (await scene.kill(lane, point)).forEach(say);
    } catch (error) {
      say(error instanceof Error ? (error.stack ?? error.message) : String(error));
      lane.killer.disarm();
      await lane.daemon.restart("SIGKILL");
    }
    if (!lane.wasKilled()) return false;
    this.kills++;
    this.killed[victim].add(step);
    return true;
  }
}

/** With a task beside it all that is to notice nothing. */
async function shootAt(lane: Lane, matrix: Matrix): Promise<void> {
  await lane.daemon.run("true");
  const idle = descriptors(lane.daemon.pid);
  matrix.wrong.push(...(await lane.beside(() => matrix.shoot(lane))));
  await lane.daemon.run("true");
  matrix.wrong.push(...lane.unknown(), ...lane.daemon.leftovers());
  await until(() => descriptors(lane.daemon.pid) <= idle);
}

itRequires(
  "cgroups",
  "killed at each step: nothing is lost, and nothing is left",
  async () => {
    await using fixtures = await Fixtures.make("witness");
    using scratch = new Scratch();
    const library = compileStepKiller(scratch.path);
    const matrix = new Matrix();
    // Much of a restart is waiting: two daemons take turns at the points.
    await using first = await Lane.start(library, join(scratch.path, "first"), fixtures);
    await using second = await Lane.start(library, join(scratch.path, "second"), fixtures);
    await matrix.plan(first);
    const planned = matrix.shots.length;
    expect(matrix.missing).toEqual([]);
    await Promise.all([first, second].map((lane) => shootAt(lane, matrix)));
    process.stdout.write(
      `steps: ${matrix.kills} kills at ${planned} points of ${SCENES.length} scenes, ` +
        `with ${matrix.steps.size} steps; ${matrix.missed} points were not come to\n`,
    );
    expect(matrix.wrong).toEqual([]);
    for (const victim of VICTIMS)
      expect([...matrix.steps].filter((step) => !matrix.killed[victim].has(step))).toEqual([]);
  },
  PATIENCE_MS,
);
