/** A follow of as many bytes as there is time for (STOCKADE_FOLLOW_BYTES, 1 GB unless set), through cuts and restarts. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";

import { connect } from "../../src/client";
import { CuttingProxy } from "../support/cutting-proxy";
import { isRoot, TestDaemon } from "../support/daemon";
import { expectNothingLeftSoon } from "../support/leftovers";
import { Random } from "../support/random";

const BYTES = Number(process.env.STOCKADE_FOLLOW_BYTES ?? 1e9);

/** A connection lives for so many bytes at the most, the daemon for three times as many. */
const CUT_BYTES = BYTES / 10;

/** Numbers without end, and no two stretches alike: `seq` writes the same outside. */
const SCRIPT = `seq 100000000000 | head -c ${BYTES}`;

async function hashOutside(): Promise<string> {
  const child = spawn("/bin/sh", ["-c", SCRIPT], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const hash = createHash("sha256");
  for await (const chunk of child.stdout) hash.update(chunk as Buffer);
  await ended;
  return hash.digest("hex");
}

it("is byte for byte what the task has written", async () => {
  await using daemon = await TestDaemon.start({ log_bytes: 2 * BYTES, end_tasks_on_stop: false });
  const random = new Random(11);
  await using proxy = await CuttingProxy.start(daemon.daemon.address.replace(/^unix:/, ""), () =>
    random.between(CUT_BYTES / 2, CUT_BYTES),
  );
  using client = connect(proxy.address);
  const task = client.run(["/bin/sh", "-c", SCRIPT], {
    onDisconnect: "keep",
    maxBuffer: 0,
    allowUnenforced: !isRoot(),
  });
  const hash = createHash("sha256");
  const begin = performance.now();
  let next = 0;
  let restarts = 0;
  for await (const event of task) {
    if (event.kind !== "chunk") throw new Error(`a ${event.kind} at ${next}`);
    if (Number(event.offset) !== next) throw new Error(`at ${event.offset}, expected ${next}`);
    next += event.data.length;
    hash.update(event.data);
    if (next < (restarts + 1) * 3 * CUT_BYTES) continue;
    restarts++;
    await daemon.restart("SIGKILL");
  }
  const { exitCode } = await task;
  const seconds = (performance.now() - begin) / 1e3;
  process.stdout.write(
    `follow: ${next} bytes in ${seconds.toFixed(0)} s, ${proxy.cuts} cuts, ${restarts} restarts of the daemon\n`,
  );
  expect({ next, exitCode }).toEqual({ next: BYTES, exitCode: 0 });
  expect(proxy.cuts).toBeGreaterThan(8);
  expect(restarts).toBe(3);
  expect(hash.digest("hex")).toBe(await hashOutside());
  await expectNothingLeftSoon(daemon);
});
