/** The log: whole however a task ends, capped, and out of the task's reach. */
import { chmodSync, existsSync, lstatSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ExitReason, type ConfigureFields, type Exit } from "../../src/client";
import { TestDaemon, until } from "../support/daemon";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";
import { HandDaemon } from "../support/hand-daemon";
import { ownerAndMode, Scratch } from "../support/task-files";

/**
 * Writes numbered lines to stdout, and how many it has written to /alloc/data/count: a task that
 * is killed leaves there what the log must at least hold. "eat" makes it use ever more memory.
 */
const NUMBER = `
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long last = argc > 1 ? atol(argv[1]) : 0;
	int eat = argc > 2 && strcmp(argv[2], "eat") == 0;
	char line[32];
	int fd = open("/alloc/data/count", O_RDWR | O_CREAT | O_TRUNC, 0666);
	if (fd < 0 || ftruncate(fd, 4096) < 0)
		return 1;
	volatile uint64_t *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (count == MAP_FAILED)
		return 2;
	for (long i = 1; last == 0 || i <= last; i++) {
		int size = sprintf(line, "%015ld\\n", i);
		if (write(1, line, (size_t)size) != size)
			return 3;
		*count = (uint64_t)i;
		if (eat)
			memset(malloc(4096), 1, 4096);
	}
	return 0;
}
`;
const LINE_BYTES = 16;

/** Opens a pseudo terminal and says what went through it. */
const TERMINAL = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	char text[64] = "";
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return 1;
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0 || !isatty(slave))
		return 2;
	if (write(slave, "through ", 8) != 8 || read(master, text, 63) != 8)
		return 3;
	printf("%s%s\\n", text, ptsname(master));
	return 0;
}
`;

let daemon: TestDaemon;
let scratch: Scratch;
const paths = ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib"];

beforeAll(async () => {
  scratch = new Scratch();
  scratch.compile("number", NUMBER);
  scratch.compile("terminal", TERMINAL);
  daemon = await TestDaemon.start(config());
});

afterEach(() => expectNothingLeft(daemon));

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

function config(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { allowed_paths: [...paths, scratch.path].map((path) => ({ path })), ...more };
}

/** A task that finds the programs above in /fixtures. */
function withFixtures(request: ConfigureFields): ConfigureFields {
  return { mounts: [{ source: scratch.path, target: "/fixtures", readOnly: true }], ...request };
}

function logFile(id: string, stream: "stdout" | "stderr" = "stdout"): string {
  return join(daemon.recordDir(id), "log", stream);
}

/** What `seq last` prints. */
function sequence(last: number): string {
  return Array.from({ length: last }, (_, index) => `${index + 1}\n`).join("");
}

/** Whether the log holds all lines that NUMBER says it has written, in order, and none twice. */
function expectWhole(id: string, allocId: string): void {
  const log = readFileSync(logFile(id), "latin1");
  const written = readFileSync(join(daemon.allocDir(allocId), "alloc/data/count")).readBigUInt64LE();
  expect(written).toBeGreaterThan(0n);
  expect(BigInt(log.length)).toBeGreaterThanOrEqual(written * BigInt(LINE_BYTES));
  const lines = log.split("\n");
  const broken = lines.slice(0, -1).findIndex((line, index) => Number(line) !== index + 1);
  expect(broken).toBe(-1);
}

async function started(request: ConfigureFields): Promise<string> {
  const id = await daemon.configure(request);
  await daemon.client.start(id);
  return id;
}

async function exitOf(id: string): Promise<Exit> {
  const { exit } = await daemon.client.wait(id);
  if (exit === undefined) throw new Error("Wait answered no exit");
  return exit;
}

describe("the log is whole when a task", () => {
  it("writes 8 MB to each stream and exits", async () => {
    const { stdout, stderr, exit } = await daemon.run("seq 1160000 & seq 1160000 >&2; wait");
    expect(exit.status).toEqual({ $case: "exitCode", value: 0 });
    const expected = sequence(1_160_000);
    expect(expected.length).toBeGreaterThan(8_000_000);
    expect(stdout === expected).toBe(true);
    expect(stderr === expected).toBe(true);
    expect([exit.stdoutDroppedBytes, exit.stderrDroppedBytes]).toEqual([0n, 0n]);
  });

  it("exits with the pipe full, 20 times", async () => {
    for (let i = 0; i < 20; i++) {
      const { stdout } = await daemon.run("", {
        command: "/usr/bin/head",
        args: ["-c", "65536", "/dev/zero"],
      });
      expect(stdout).toHaveLength(65_536);
    }
  });

  it("kills itself", async () => {
    const { stdout, exit } = await daemon.run("seq 100000; kill -9 $$");
    expect(exit.status).toEqual({ $case: "signal", value: 9 });
    expect(stdout === sequence(100_000)).toBe(true);
  });

  it("is killed by ForceStop as it writes", async () => {
    for (let i = 0; i < 5; i++) {
      const allocId = daemon.freshName();
      const id = await started(withFixtures({ allocId, command: "/fixtures/number" }));
      await until(() => statSync(logFile(id)).size > 1_000_000);
      await daemon.client.forceStop(id);
      expect((await exitOf(id)).reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
      expectWhole(id, allocId);
    }
  });

  itRequires(["root", "cgroups"], "runs out of memory as it writes", async () => {
    const allocId = daemon.freshName();
    const id = await daemon.configure(
      withFixtures({ allocId, command: "/fixtures/number", args: ["0", "eat"] }),
    );
    await daemon.client.limit({ id, resources: { memoryBytes: 16n << 20n } });
    await daemon.client.start(id);
    expect((await exitOf(id)).reason).toBe(ExitReason.EXIT_REASON_OOM_KILLED);
    expectWhole(id, allocId);
  });

  it("goes on writing while the daemon is stopped: it neither blocks nor gets a signal", async () => {
    const allocId = daemon.freshName();
    const id = await started(
      withFixtures({
        allocId,
        command: "/bin/sh",
        args: [
          "-c",
          "until [ -e /alloc/data/go ]; do :; done; /fixtures/number 500000; echo $? >/alloc/data/done",
        ],
      }),
    );
    const data = join(daemon.allocDir(allocId), "alloc/data");
    process.kill(daemon.pid, "SIGSTOP");
    try {
      writeFileSync(join(data, "go"), "");
      await until(() => existsSync(join(data, "done")) && statSync(join(data, "done")).size > 0);
      expect(readFileSync(join(data, "done"), "utf8")).toBe("0\n");
    } finally {
      process.kill(daemon.pid, "SIGCONT");
    }
    expect((await exitOf(id)).status).toEqual({ $case: "exitCode", value: 0 });
    expectWhole(id, allocId);
    expect(statSync(logFile(id)).size).toBe(500_000 * LINE_BYTES);
  });

  it("leaves a daemonised process behind that holds the pipes: it does not hold up the end", async () => {
    const { stdout, stderr, exit } = await daemon.run(
      "sleep 1000 & (setsid sh -c 'sleep 1000; echo never' &); echo out; echo err >&2",
    );
    expect(exit.status).toEqual({ $case: "exitCode", value: 0 });
    expect([stdout, stderr]).toEqual(["out\n", "err\n"]);
  });

  it("closes its streams and goes on", async () => {
    const { stdout, exit } = await daemon.run("echo first; exec >&- 2>&-; seq 100000 >/tmp/more; exit 7");
    expect(exit.status).toEqual({ $case: "exitCode", value: 7 });
    expect(stdout).toBe("first\n");
  });
});

it("byte by byte costs init little of the time that the task takes to write it", async () => {
  const id = await daemon.configure({ command: "/bin/dd", args: ["if=/dev/zero", "bs=1"] });
  const { pid } = await daemon.client.start(id);
  const init = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  await until(() => cpuTicks(pid) > 200, 60_000);
  expect(cpuTicks(init) / cpuTicks(pid)).toBeLessThan(0.5);
  await daemon.client.forceStop(id);
});

/** What a process has used of the processor, in hundredths of a second. */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

describe("the cap", () => {
  let capped: TestDaemon;

  beforeAll(async () => {
    capped = await TestDaemon.start(config({ log_bytes: 65_536 }));
  });

  afterAll(() => capped[Symbol.asyncDispose]());

  for (const [stdoutBytes, stderrBytes] of [
    [65_536, 65_537],
    [100_000, 0],
    [65_535, 8_000_000],
  ] as const) {
    it(`keeps the last 64 KiB of ${stdoutBytes} and ${stderrBytes} bytes, and counts the rest exactly`, async () => {
      const { stdout, stderr, exit } = await capped.run(
        `${numbers(stdoutBytes)}; ${numbers(stderrBytes)} >&2; exit 3`,
      );
      expect(exit.status).toEqual({ $case: "exitCode", value: 3 });
      expectNewest(stdout, stdoutBytes, exit.stdoutDroppedBytes);
      expectNewest(stderr, stderrBytes, exit.stderrDroppedBytes);
      expect(capped.leftovers()).toEqual([]);
    });
  }

  itRequires("cgroups", "holds, and keeps the newest, while no daemon is there", async () => {
    await using lasting = await TestDaemon.start(config({ log_bytes: 65_536, end_tasks_on_stop: false }));
    const allocId = lasting.freshName();
    const id = await lasting.configure({
      ...{ allocId, taskName: "web" },
      command: "/bin/sh",
      args: ["-c", `until [ -e /local/go ]; do sleep 0.01; done; ${numbers(2_000_000)}; exit 3`],
    });
    await lasting.client.start(id);
    await lasting.end("SIGKILL");
    writeFileSync(join(lasting.allocDir(allocId), "web/local/go"), "");
    await until(() => lasting.initPids().length === 0);
    await lasting.startAgain();
    const { exit } = await lasting.client.wait(id);
    const dropped = exit?.stdoutDroppedBytes ?? 0n;
    expect(exit?.status).toEqual({ $case: "exitCode", value: 3 });
    expectNewest((await lasting.output(id)).stdout.slice(Number(dropped)), 2_000_000, dropped);
    // Of what is not kept nothing is on the disk.
    expect(statSync(join(lasting.recordDir(id), "log/stdout")).blocks * 512).toBeLessThanOrEqual(2 * 65_536);
  });

  /** What a shell runs to write so many bytes, each of which tells by its neighbours where it is. */
  function numbers(bytes: number): string {
    return `seq 2000000 | head -c ${bytes}`;
  }

  function expectNewest(text: string, bytes: number, dropped: bigint): void {
    const cap = 65_536;
    expect(text.length + Number(dropped)).toBe(bytes);
    expect(text.length).toBeLessThanOrEqual(cap);
    // The oldest goes in blocks.
    expect(text.length).toBeGreaterThan(Math.min(bytes, cap) - 4096 - 1);
    expect(dropped > 0n).toBe(bytes > cap);
    expect(text === sequence(2_000_000).slice(Number(dropped), bytes)).toBe(true);
  }
});

itRequires(
  "root",
  "a full disk costs the oldest output, which is counted, and neither task nor exit",
  async () => {
    scratch.sh("mkdir small alloc; chmod 700 alloc; mount -t tmpfs -o size=2m,mode=700 none small");
    try {
      const address = `unix:${scratch.path}/full.sock`;
      const flags = [
        ["--listen", address],
        ["--state-dir", join(scratch.path, "small")],
        ["--alloc-dir", join(scratch.path, "alloc")],
        ["--cgroup-root", `${daemon.cgroupRoot}-full`],
      ].flat();
      await using full = await HandDaemon.start(flags, address);
      const { id } = await full.client.configure({
        allocId: "a",
        taskName: "t",
        command: "/bin/sh",
        args: ["-c", "seq 1160000; exit 9"],
      });
      await full.client.start(id);
      const { exit } = await full.client.wait(id);
      const log = join(scratch.path, "small/tasks", id.split("/").at(-1) ?? "", "log/stdout");
      const dropped = Number(exit?.stdoutDroppedBytes);
      const stdout = readFileSync(log, "latin1").slice(dropped);
      const expected = sequence(1_160_000);
      expect(exit?.status).toEqual({ $case: "exitCode", value: 9 });
      expect(stdout.length).toBeGreaterThan(500_000);
      expect(stdout.length).toBeLessThan(2 << 20);
      expect(dropped + stdout.length).toBe(expected.length);
      expect(expected.endsWith(stdout)).toBe(true);
    } finally {
      scratch.sh("umount small");
    }
  },
);

describe("in /local", () => {
  itRequires(
    "root",
    "the log is a link to the authoritative one, which only the daemon's user can write",
    async () => {
      const allocId = daemon.freshName();
      const { id, stdout } = await daemon.run("echo one", {
        allocId,
        taskName: "web",
      });
      const local = join(daemon.allocDir(allocId), "web/local/web.stdout");
      expect(lstatSync(local).ino).toBe(lstatSync(logFile(id)).ino);
      const owner = `${process.geteuid?.()}:${process.getegid?.()}`;
      expect(ownerAndMode(logFile(id))).toBe(`${owner} 644`);
      expect(ownerAndMode(daemon.recordDir(id))).toBe(`${owner} 700`);
      expect(stdout).toBe("one\n");
    },
  );

  const victims = (): string => join(scratch.path, "victim");
  const tampering = {
    renames: "mv /local/web.stdout /local/other",
    unlinks: "rm -f /local/web.stdout",
    truncates: ": >/local/web.stdout",
    overwrites: "echo forged >/local/web.stdout; echo forged >>/local/web.stdout",
    chmods: "chmod 666 /local/web.stdout; echo forged >/local/web.stdout",
    "replaces by a symlink": "rm -f /local/web.stdout; ln -s /alloc/data/victim /local/web.stdout",
    "replaces by a directory": "rm -f /local/web.stdout; mkdir -p /local/web.stdout/deep",
  };
  for (const [what, script] of Object.entries(tampering)) {
    it(`the log that a task ${what} stays whole, and so does that of the next run`, async () => {
      const request = { allocId: daemon.freshName(), taskName: "web" };
      const first = await daemon.run(
        `echo before; (echo untouched >/alloc/data/victim; ${script}) 2>/dev/null; echo after`,
        request,
      );
      expect(first.stdout).toBe("before\nafter\n");
      const second = await daemon.run("echo next; cat /alloc/data/victim", request);
      expect(second.stdout).toBe("next\nuntouched\n");
      expect((await daemon.output(first.id)).stdout).toBe("before\nafter\n");
    });
  }

  itRequires("root", "a link that a task leads out of its root is never followed", async () => {
    writeFileSync(victims(), "untouched\n");
    chmodSync(victims(), 0o666);
    const request = { allocId: daemon.freshName(), taskName: "web" };
    await daemon.run(
      `rm -f /local/web.stdout /local/web.stderr; ln -s ${victims()} /local/web.stdout;` +
        `ln -s ${victims()} /local/web.stderr`,
      request,
    );
    const { stdout } = await daemon.run("echo next; test -L /local/web.stdout || echo replaced", request);
    expect(stdout).toBe("next\nreplaced\n");
    expect(readFileSync(victims(), "utf8")).toBe("untouched\n");
  });
});

describe("the streams", () => {
  it("can be opened again by their names", async () => {
    const { stdout, stderr } = await daemon.run(
      "echo 1 >/dev/stderr; echo 2 >>/dev/stderr; echo 3 >/dev/fd/2; echo 4 >/proc/self/fd/1;" +
        "echo 5 | tee /dev/stderr; cat /dev/stdin; cat",
    );
    expect(stdout).toBe("4\n5\n");
    expect(stderr).toBe("1\n2\n3\n5\n");
  });

  it("are no terminals, but a task can open one", async () => {
    const { stdout, exit } = await daemon.run(
      "test -t 0 || test -t 1 || test -t 2 || echo none; /fixtures/terminal",
      withFixtures({}),
    );
    expect(stdout).toBe("none\nthrough /dev/pts/0\n");
    expect(exit.status).toEqual({ $case: "exitCode", value: 0 });
  });

  it("start empty for each id", async () => {
    const request = { allocId: daemon.freshName(), taskName: "web" };
    const first = await daemon.run("echo first", request);
    const second = await daemon.run("echo 2", request);
    expect(second.stdout).toBe("2\n");
    expect((await daemon.output(first.id)).stdout).toBe("first\n");
  });
});
