/** `stockade demo`: one daemon, three tasks, every call with its answer. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { ExitReason, StockadeError } from "../client/index.js";
import { OwnDaemon } from "./own-daemon.js";

/** Burns some CPU, writes 8 MiB to disk, holds 16 MiB of memory and says who it is. */
const WORK = `
echo "user:     $(id)"
echo "host:     $(hostname), pid 1 is $(cat /proc/1/comm)"
echo "root:     $(ls -m /)"
dd if=/dev/zero of=/local/data bs=1M count=8 conv=fsync 2>/dev/null
head -c 16777216 /dev/zero | tail -c 16777216 | wc -c
i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done
echo "done" > /dev/stderr
exit 7
`;

const MIB = 1024n * 1024n;

function show(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, field: unknown) => (typeof field === "bigint" ? field.toString() : field),
    2,
  );
}

async function step<T>(call: string, request: unknown, answer: Promise<T>): Promise<T> {
  process.stdout.write(`\n> ${call} ${show(request)}\n`);
  const value = await answer;
  process.stdout.write(`${show(value)}\n`);
  return value;
}

function title(text: string): void {
  process.stdout.write(`\n=== ${text}\n`);
}

export async function demo(): Promise<number> {
  const program = resolve(__dirname, "../../bin/stockaded");
  await using daemon = await OwnDaemon.start({ program, cgroupRoot: `/stockade-demo-${process.pid}` });
  const { client } = daemon;

  async function configure(taskName: string, script: string): Promise<string> {
    const request = {
      allocId: "demo",
      taskName,
      command: "/bin/sh",
      args: ["-c", script],
      allowUnenforced: true,
    };
    return (await step("Configure", request, client.configure(request))).id;
  }

  async function limit(id: string, resources: Parameters<typeof client.limit>[0]["resources"]) {
    const request = { id, resources, allowUnenforced: true };
    return step("Limit", request, client.limit(request));
  }

  title("a task with limits");
  const id = await configure("work", WORK);
  const { unenforced } = await limit(id, {
    memoryBytes: 64n * MIB,
    memoryReservationBytes: 32n * MIB,
    cpuShares: 512n,
    cpuMillis: 500n,
    cpusetCpus: "0",
    ioWeight: 100n,
    pidsMax: 20n,
  });
  await step("Start", { id }, client.start(id));
  const { exit } = await step("Wait", { id }, client.wait(id));
  for (const stream of ["stdout", "stderr"]) {
    const log = await readFile(join(daemon.directory, "alloc/demo/work/local", `work.${stream}`), "utf8");
    process.stdout.write(`\n--- ${stream}\n${log}`);
  }
  const limited = !unenforced.some(({ name }) => name === "memory_bytes");

  title("a task that runs out of memory");
  if (limited) {
    const oom = await configure("oom", "tail /dev/zero");
    await limit(oom, { memoryBytes: 16n * MIB });
    await step("Start", { id: oom }, client.start(oom));
    const { exit: killed } = await step("Wait", { id: oom }, client.wait(oom));
    if (killed?.oomKilled !== true) throw new Error("the task was not killed for want of memory");
  } else {
    process.stdout.write("skipped: memory_bytes is not enforceable here, as Limit said above\n");
  }

  title("ForceStop of a task that forks");
  const bomb = await configure("bomb", "while :; do sleep 1000 & done");
  await limit(bomb, { pidsMax: 50n });
  if (limited) {
    await step("Start", { id: bomb }, client.start(bomb));
  } else {
    process.stdout.write("not started: pids_max is not enforceable here\n");
  }
  const { exit: stopped } = await step("ForceStop", { id: bomb }, client.forceStop(bomb));

  title("an error");
  await step("Start", { id }, client.start(id)).catch((error: unknown) => {
    if (!(error instanceof StockadeError)) throw error;
    process.stdout.write(`${error.code} ${error.reason ?? ""}: ${error.message}\n`);
  });

  const asExpected =
    exit?.status?.$case === "exitCode" &&
    exit.status.value === 7 &&
    stopped?.reason ===
      (limited ? ExitReason.EXIT_REASON_FORCE_STOPPED : ExitReason.EXIT_REASON_NEVER_STARTED);
  if (!asExpected) throw new Error("a task did not end as it should have");
  title("stopped; nothing is left");
  return 0;
}
