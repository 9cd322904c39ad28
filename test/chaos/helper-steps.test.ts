/**
 * I2 to I4: the launcher alone is killed before each system call by which it, init, the waiting command and what
 * removes its trees make a task, start it and end it. The calls are those of a trace of the same task.
 */
import { join } from "node:path";

import { descriptors, until } from "../support/daemon";
import { Fixtures } from "../support/fixtures";
import { compileInjector, Injector, type Call } from "../support/injector";
import { itRequires } from "../support/requires";
import { compileStepKiller } from "../support/step-killer";
import { Scratch } from "../support/task-files";
import { Lane } from "./lane";
import { THE_END } from "./stories";

const PATIENCE_MS = 600_000;

/** How often something is looked for, and how much of it is found at once, differs from task to task. */
const SHARE_MET = 0.9;

/** Which of its process's calls of that name it is, from 1. */
interface Point {
  readonly call: Call;
  readonly nth: number;
}

class HelperLane {
  readonly wrong: string[] = [];
  readonly killedAt = new Set<string>();
  kills = 0;

  constructor(
    private readonly lane: Lane,
    private readonly injectorProgram: string,
  ) {}

  /** The calls of a task in which nothing is killed. */
  async trace(): Promise<readonly Call[]> {
    await using injector = await this.attach();
    await injector.trace();
    let calls: readonly Call[] = [];
    const report = async (): Promise<void> => void (calls = await injector.report());
    this.wrong.push(...(await this.lane.killedBesides(THE_END, "nothing", report)));
    return calls;
  }

  async killAt({ call, nth }: Point): Promise<void> {
    const { lane } = this;
    const step = nameOf(call);
    const { launcher } = lane.daemon;
    await using injector = await this.attach();
    await injector.killLauncherAt(call, nth);
    const lies = await lane.killedBesides(THE_END, step, () => injector.report());
    this.wrong.push(...lies.map((lie) => `launcher killed at ${step} (${nth}): ${lie}`));
    if (lane.daemon.launcher === launcher) return;
    this.kills++;
    this.killedAt.add(step);
  }

  private attach(): Promise<Injector> {
    return Injector.attachTo(this.injectorProgram, this.lane.daemon.launcher);
  }
}

const nameOf = ({ role, name }: Call): string => `${role} ${name}`;

/** A kill before one of these is as good as one before the next call that changes something. */
const CHANGES_NOTHING: readonly string[] = [
  ...[
    "brk",
    "capget",
    "getegid",
    "geteuid",
    "getgroups",
    "getresgid",
    "getresuid",
    "getrusage",
    "rt_sigaction",
  ],
  ...["close", "epoll_pwait", "fcntl", "fstat", "getdents64", "lseek", "newfstatat", "ppoll", "read"],
];

/** Of calls of one name in a row, as of a loop, the first and the last. */
function pointsOf(calls: readonly Call[]): readonly Point[] {
  const changing = calls.filter(({ name }) => !CHANGES_NOTHING.includes(name));
  const roles = [...new Set(changing.map(({ role }) => role))];
  return roles.flatMap((role) => {
    const own = changing.filter((call) => call.role === role);
    const nths = own.map(({ name }, at) => own.slice(0, at + 1).filter((call) => call.name === name).length);
    return own
      .map((call, at) => ({ call, nth: nths[at] ?? 0 }))
      .filter(({ call: { name } }, at) => name !== own[at - 1]?.name || name !== own[at + 1]?.name);
  });
}

itRequires(
  "cgroups",
  "the launcher is killed at each of the helper's system calls: nothing is lost, and nothing is left",
  async () => {
    await using fixtures = await Fixtures.make("witness");
    using scratch = new Scratch();
    const library = compileStepKiller(scratch.path);
    await using lane = await Lane.start(library, join(scratch.path, "orders"), fixtures);
    const helper = new HelperLane(lane, compileInjector(scratch.path));
    const points = pointsOf(await helper.trace());
    await lane.daemon.run("true");
    const idle = descriptors(lane.daemon.pid);
    const noticed = await lane.beside(async () => {
      for (const point of points) await helper.killAt(point);
    });
    await lane.daemon.run("true");
    process.stdout.write(`helper steps: ${helper.kills} kills at ${points.length} system calls\n`);
    expect([...helper.wrong, ...noticed, ...lane.unknown(), ...lane.daemon.leftovers()]).toEqual([]);
    expect(helper.kills).toBeGreaterThan(points.length * SHARE_MET);
    const missed = new Set(
      points.map(({ call }) => nameOf(call)).filter((step) => !helper.killedAt.has(step)),
    );
    expect([...missed]).toEqual([]);
    await until(() => descriptors(lane.daemon.pid) <= idle);
  },
  PATIENCE_MS,
);
