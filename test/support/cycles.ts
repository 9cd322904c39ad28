/** Other tasks, one after the other, beside a call that takes long. */
import type { TestDaemon } from "./daemon";

/** How long each cycle of another task, from Configure to its end, takes until `over`; in milliseconds. */
export async function cyclesUntil(daemon: TestDaemon, over: () => boolean): Promise<number[]> {
  const took: number[] = [];
  while (!over()) {
    const start = performance.now();
    const { stdout } = await daemon.run("echo unhindered");
    expect(stdout).toBe("unhindered\n");
    took.push(performance.now() - start);
  }
  return took;
}

/** The cycles of other tasks that are over before the call is. */
export async function cyclesDuring(daemon: TestDaemon, call: Promise<unknown>): Promise<number[]> {
  let over = false;
  void call.finally(() => (over = true)).catch(() => undefined);
  const took = await cyclesUntil(daemon, () => over);
  await call;
  // The last was under way when the call ended.
  return took.slice(0, -1);
}
