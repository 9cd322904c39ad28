/** What tasks live through whose daemon is killed meanwhile, and whether Wait and their logs say the same as they do. */
import { join } from "node:path";

import { ChrootMethod, ExitReason, StockadeError, TaskState, type Exit } from "../../src/client";
import { until, type TestDaemon } from "../support/daemon";
import { isLoss, survive, textOf } from "../support/losses";
import { SLOW } from "../support/requires";

/** After it, a call is said to hang. */
export const CALL = { timeoutMs: 20_000 * SLOW };
/** Longer than that no write of a task may take, in microseconds. */
const WRITE_US_MAX = 1_000_000;
const LINES = 20;
const LIMITS = { memoryBytes: 64n << 20n, pidsMax: 100n };
const EXIT_CODE = 7;
const SIGTERM = 15;
const SIGKILL = 9;

/** What a task lives through. Its steps are killed at from where on they differ from those of the stories before it. */
export interface Story {
  readonly name: string;
  readonly from: "configure" | "failed" | "configured" | "started";
  /** "end": until it is ended. */
  readonly lines: number | "end";
  readonly workDir?: string;
  /** Ends it, or has Start do it. */
  readonly end?: (daemon: TestDaemon, id: string) => Promise<unknown>;
  /** How it ends unless it was never started: a status, and the reason. */
  readonly status: Exit["status"];
  readonly reason: ExitReason;
}

const forceStop: Story["end"] = ({ client }, id) => client.forceStop(id, CALL);

/** A task that ends by itself. */
export const THE_END: Story = {
  name: "it ends",
  from: "configure",
  lines: LINES,
  status: { $case: "exitCode", value: EXIT_CODE },
  reason: ExitReason.EXIT_REASON_EXITED,
};

/** One that does so when it is told to, by a file. */
export const UNTIL_TOLD: Story = { ...THE_END, name: "it is told to end", from: "started", lines: "end" };

export const STORIES: readonly Story[] = [
  THE_END,
  {
    name: "it cannot be configured",
    from: "failed",
    lines: LINES,
    workDir: "/nowhere",
    status: { $case: "unknown", value: true },
    reason: ExitReason.EXIT_REASON_NEVER_STARTED,
  },
  {
    name: "it is stopped before its start",
    from: "configured",
    lines: LINES,
    end: forceStop,
    status: { $case: "unknown", value: true },
    reason: ExitReason.EXIT_REASON_NEVER_STARTED,
  },
  {
    name: "it is stopped by ForceStop",
    from: "started",
    lines: "end",
    end: forceStop,
    status: { $case: "signal", value: SIGKILL },
    reason: ExitReason.EXIT_REASON_FORCE_STOPPED,
  },
  {
    name: "it is stopped by Shutdown",
    from: "started",
    lines: "end",
    end: ({ client }, id) => client.shutdown({ id }, CALL),
    status: { $case: "signal", value: SIGTERM },
    reason: ExitReason.EXIT_REASON_SIGNALED,
  },
];

/** Where a story is played. */
export interface Stage {
  readonly daemon: TestDaemon;
  /** The directory that the witness is in. */
  readonly tree: string;
  /** Whether the daemon, or its launcher, has been killed in this story. */
  readonly wasKilled: () => boolean;
}

/** A task of a story, and what its client has been told of it. */
export class Play {
  id: string | undefined;
  /** Configure was answered, with an error that is no loss. */
  refused = false;
  startAnswered = false;
  exit: Exit | undefined;

  constructor(
    private readonly stage: Stage,
    readonly name: string,
    readonly story: Story,
  ) {}

  /** The whole story; `at` is called where its own steps begin. */
  async run(at: () => void): Promise<void> {
    const { from } = this.story;
    if (from === "configure" || from === "failed") at();
    await this.configure();
    if (from === "configured") at();
    else await this.start();
    if (from === "started") at();
    await this.end();
  }

  /** Undefined id: nobody has answered, or it was refused, and nothing is to have come of it. */
  async configure(): Promise<void> {
    const { name, story, stage } = this;
    const lines = story.lines === "end" ? -1 : story.lines;
    try {
      const { id } = await stage.daemon.client.configure(
        {
          allocId: name,
          taskName: name,
          chroot: { [stage.tree]: "/data" },
          chrootMethod: ChrootMethod.CHROOT_METHOD_LINK,
          command: "/data/witness",
          args: ["/local/truth", String(lines), "1000", "exit", String(EXIT_CODE)],
          workDir: story.workDir ?? "",
        },
        CALL,
      );
      this.id = id;
    } catch (error) {
      this.refused = !isLoss(error);
      if (this.refused && story.workDir === undefined) throw error;
    }
  }

  /** Limit and Start, if it has come to be; resolves when it has said that it runs, or has ended. */
  async start(): Promise<void> {
    const { id, stage } = this;
    if (id === undefined) return;
    await this.call(() => stage.daemon.client.limit({ id, resources: LIMITS }, CALL));
    this.startAnswered = await this.call(() => stage.daemon.client.start(id, CALL));
    await until(async () => this.truth !== undefined || (await this.hasEnded(id)));
  }

  /** What ends it, if there is such a thing, and Wait. */
  async end(): Promise<void> {
    const { id, stage, story } = this;
    if (id === undefined) return;
    const { end } = story;
    if (end !== undefined) await this.call(() => end(stage.daemon, id));
    this.exit = (await survive(() => stage.daemon.client.wait(id, CALL))).exit;
  }

  /** What the task says of itself; undefined: it has not run. */
  get truth(): string | undefined {
    return textOf(this.truthFile);
  }

  get truthFile(): string {
    return join(this.stage.daemon.allocDir(this.name), this.name, "local/truth");
  }

  private async hasEnded(id: string): Promise<boolean> {
    const { state } = await survive(() => this.stage.daemon.client.open({ id }, CALL));
    return state === TaskState.TASK_STATE_ENDED;
  }

  /** False: after a kill it may come to a task that has ended, or be the second start. */
  private async call(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await survive(act);
      return true;
    } catch (error) {
      const reason = error instanceof StockadeError ? error.reason : undefined;
      const mayBe = reason === "ENDED" || reason === "ALREADY_STARTED";
      if (!mayBe || !this.stage.wasKilled()) throw error;
      return false;
    }
  }
}

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/** What is not as the task itself has it; undefined: nothing. */
export function lieOf({ id, story, exit, startAnswered, truth }: Play, output: Output): string | undefined {
  if (id === undefined) return truth === undefined ? undefined : "it ran, and nobody was told of it";
  if (exit === undefined) return "Wait has no exit";
  const says = `${exit.reason} ${JSON.stringify(exit.status)}, and the task ${truth}`;
  if (exit.reason === ExitReason.EXIT_REASON_NEVER_STARTED) {
    if (truth !== undefined || startAnswered) return `Wait says ${says}`;
    return output.stdout === "" && output.stderr === "" ? undefined : "it was never started, and has written";
  }
  if (truth === undefined) return `Wait says ${says}`;
  const { status, reason } = story;
  if (exit.reason !== reason || JSON.stringify(exit.status) !== JSON.stringify(status))
    return `Wait says ${says}`;
  const [written, longestUs, how] = truth.split(" ");
  if (story.lines !== "end" && how !== "exit") return "it was not let be";
  if (Number(longestUs) > WRITE_US_MAX) return "a write was held up";
  const count = story.lines === "end" ? output.stdout.split("\n").length - 1 : Number(written);
  const isStopped = story.lines === "end" && story.end !== undefined;
  // One that is stopped between its two writes has a line more in the first.
  const stderrs = isStopped ? [count, count - 1] : [count];
  return output.stdout === linesTo(count) && stderrs.some((last) => output.stderr === linesTo(last))
    ? undefined
    : "output is not whole";
}

function linesTo(last: number): string {
  return Array.from({ length: last }, (_line, index) => `line ${index + 1}\n`).join("");
}
