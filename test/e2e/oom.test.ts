import { StockadeError, type Resources } from "../../src/client";
import { failure, TestDaemon, until } from "../support/daemon";
import { died, exited, exitOf, forceStopped, neverStarted, oomKilled } from "../support/exits";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires, SLOW } from "../support/requires";

const MIB = 1n << 20n;

/** Whether the kernel refuses exec the memory, or kills for want of it, is told alike. */
const TOO_LARGE = { reason: "COMMAND_NOT_EXECUTABLE", metadata: { stage: "exec", errno: "ENOMEM" } };

let daemon: TestDaemon;
let fixtures: Fixtures;

beforeAll(async () => {
  fixtures = await Fixtures.make("touch-memory", "crowd");
  daemon = await TestDaemon.start(fixtures.config);
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

/** A configured shell script with limits. */
async function limited(script: string, resources: Partial<Resources>): Promise<string> {
  const command = { command: "/bin/sh", args: ["-c", script] };
  const id = await daemon.configure({ ...command, mounts: fixtures.mounts });
  await daemon.client.limit({ id, resources });
  return id;
}

describe("out of memory", () => {
  itRequires("cgroups", "of the main process is OOM_KILLED", async () => {
    const id = await limited(`exec ${FIXTURES}/touch-memory 256`, { memoryBytes: 32n * MIB });
    await daemon.client.start(id);
    const exit = await exitOf(daemon.client, id);
    expect(exit).toMatchObject(oomKilled());
    expect(exit.usage?.memoryPeakBytes).toBeLessThanOrEqual(32n * MIB);
    expect(exit.usage?.memoryPeakBytes).toBeGreaterThan(24n * MIB);
    expect((await daemon.output(id)).stdout).toBe("");
  });

  itRequires("cgroups", "of a child is EXITED with the main process's code, and oom_killed", async () => {
    const script = `${FIXTURES}/touch-memory 256; echo "child: $?"; exit 4`;
    const id = await limited(script, { memoryBytes: 32n * MIB });
    await daemon.client.start(id);
    expect(await exitOf(daemon.client, id)).toMatchObject({ ...exited(4), oomKilled: true });
    expect((await daemon.output(id)).stdout).toBe("child: 137\n");
  });

  itRequires("cgroups", "of a child, then death of another signal, is SIGNALED and oom_killed", async () => {
    const id = await limited(`${FIXTURES}/touch-memory 256; kill -TERM $$`, { memoryBytes: 32n * MIB });
    await daemon.client.start(id);
    expect(await exitOf(daemon.client, id)).toMatchObject({ ...died(15), oomKilled: true });
  });

  itRequires("cgroups", "of a child is not what a task died of that a client has had killed", async () => {
    const ways = [
      [(id: string) => daemon.client.shutdown({ id, signal: "KILL" }), died(9)],
      [(id: string) => daemon.client.forceStop(id), forceStopped()],
    ] as const;
    for (const [kill, ending] of ways) {
      const script = `${FIXTURES}/touch-memory 256; echo "child: $?"; exec sleep 1000`;
      const id = await limited(script, { memoryBytes: 32n * MIB });
      await daemon.client.start(id);
      await until(async () => (await daemon.output(id)).stdout === "child: 137\n");
      expect((await kill(id)).exit).toMatchObject({ ...ending, oomKilled: true });
    }
  });

  itRequires("cgroups", "is not what a task died of that killed itself below its limit", async () => {
    const id = await limited("kill -KILL $$", { memoryBytes: 32n * MIB });
    await daemon.client.start(id);
    expect(await exitOf(daemon.client, id)).toMatchObject({ ...died(9), oomKilled: false });
  });

  itRequires("cgroups", "loses nothing that the task had written", async () => {
    const script = `seq 1 20000; exec ${FIXTURES}/touch-memory 256`;
    const id = await limited(script, { memoryBytes: 32n * MIB });
    await daemon.client.start(id);
    expect(await exitOf(daemon.client, id)).toMatchObject(oomKilled());
    const numbers = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`);
    expect((await daemon.output(id)).stdout).toBe(numbers.join(""));
  });

  it.each(["/tmp", "/dev/shm"])(
    "cannot come of %s alone, which is as large as configured",
    async (directory) => {
      const { exit, stderr } = await daemon.run(`head -c 80000000 /dev/zero >${directory}/file`);
      expect(exit).toMatchObject({ ...exited(1), oomKilled: false });
      expect(stderr).toContain("No space left on device");
    },
  );

  for (const directory of ["/tmp", "/dev/shm"]) {
    itRequires("cgroups", `comes of what the task writes to ${directory}, charged to it`, async () => {
      const script = `exec dd if=/dev/zero of=${directory}/file bs=1M count=60`;
      const id = await limited(script, { memoryBytes: 24n * MIB });
      await daemon.client.start(id);
      expect(await exitOf(daemon.client, id)).toMatchObject(oomKilled());
    });

    itRequires(
      "cgroups",
      `of a writer to ${directory} leaves the main process its say, or takes it too`,
      async () => {
        // What is in the file stays when its writer has been killed: the shell may well be next.
        const script = `dd if=/dev/zero of=${directory}/file bs=1M count=60; rm -f ${directory}/file; exit 6`;
        const id = await limited(script, { memoryBytes: 24n * MIB });
        await daemon.client.start(id);
        const exit = await exitOf(daemon.client, id);
        expect(exit.oomKilled).toBe(true);
        expect([exited(6), oomKilled()]).toContainEqual(
          expect.objectContaining({ status: exit.status, reason: exit.reason }),
        );
      },
    );
  }
});

/** Ways to run out of memory: the task alone, by many, and by what no kill of a process gives back. */
const WAYS = [
  `exec ${FIXTURES}/touch-memory 64`,
  `${FIXTURES}/touch-memory 64; exit 0`,
  `for i in 1 2 3 4 5 6; do ${FIXTURES}/touch-memory 16 wait & done; wait; exit 0`,
  "dd if=/dev/zero of=/dev/shm/file bs=64k; exit 0",
  "dd if=/dev/zero of=/tmp/a bs=64k & dd if=/dev/zero of=/dev/shm/b bs=64k; wait; exit 0",
  'x=0123456789abcdef; while :; do x="$x$x"; done',
];
const LIMITS = [1n, 2n, 4n, 12n];

/** The reason of an error that a call was answered with. */
function codeOf(error: unknown): string | undefined {
  if (error instanceof StockadeError) return error.reason;
  throw error;
}

/** On a slow machine fewer, but where all of them are asked for. */
const TRIES = Number(process.env["STOCKADE_OOM_TRIES"] ?? Math.max(20, Math.floor(200 / SLOW)));
const TRY_MS = 3_000;

itRequires(
  "cgroups",
  `never takes init: each of ${TRIES} tasks out of memory has an exit, and its neighbour lives`,
  async () => {
    const neighbour = await daemon.configure({ command: "/bin/sleep", args: ["1000"] });
    const { pid } = await daemon.client.start(neighbour);
    const oneTry = async (number: number): Promise<void> => {
      const memoryBytes = (LIMITS[Math.floor(number / WAYS.length) % LIMITS.length] ?? 1n) * MIB;
      const id = await limited(WAYS[number % WAYS.length] ?? "", { memoryBytes });
      const started = await daemon.client.start(id).then(
        () => true,
        () => false,
      );
      const exit = await exitOf(daemon.client, id);
      // Too little even for exec: then the kernel killed the process before it was the command.
      if (!started) expect(exit).toMatchObject({ ...neverStarted(), oomKilled: true });
      else {
        expect(exit.oomKilled).toBe(true);
        expect([oomKilled(), exited(0), exited(2)]).toContainEqual(
          expect.objectContaining({ status: exit.status, reason: exit.reason }),
        );
      }
    };
    const AT_ONCE = 4;
    for (let first = 0; first < TRIES; first += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => oneTry(first + index)));
    }
    expect(process.kill(pid, 0)).toBe(true);
    await daemon.client.forceStop(neighbour);
  },
  60_000 + TRIES * TRY_MS,
);

itRequires(
  "cgroups",
  "a Start with too little memory for exec is refused or ends OOM_KILLED, never half",
  async () => {
    for (const kib of [100n, 112n, 128n, 192n, 256n, 384n, 512n, 768n]) {
      const id = await limited("exit 0", { memoryBytes: MIB });
      const tight = await daemon.client.limit({ id, resources: { memoryBytes: kib << 10n } }).catch(codeOf);
      if (tight === "MEMORY_IN_USE") {
        await daemon.client.forceStop(id);
        continue;
      }
      const started = daemon.client.start(id);
      const refusal = await started.then(
        () => undefined,
        () => failure(started),
      );
      const exit = await exitOf(daemon.client, id);
      if (refusal !== undefined) expect([kib, refusal, exit]).toMatchObject([kib, TOO_LARGE, neverStarted()]);
      else if (exit.oomKilled) expect([kib, exit]).toMatchObject([kib, oomKilled()]);
      else expect([kib, exit]).toMatchObject([kib, exited(0)]);
      expect(await failure(daemon.client.start(id))).toMatchObject({ reason: "ENDED" });
    }
  },
);
