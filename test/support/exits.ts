/** What Wait answers, in a form to match against. */
import { ExitReason, type Exit, type StockadeClient } from "../../src/client";

export function exited(code: number): Partial<Exit> {
  return { status: { $case: "exitCode", value: code }, reason: ExitReason.EXIT_REASON_EXITED };
}

export function died(signal: number, reason = ExitReason.EXIT_REASON_SIGNALED): Partial<Exit> {
  return { status: { $case: "signal", value: signal }, reason };
}

export function oomKilled(): Partial<Exit> {
  return { ...died(9, ExitReason.EXIT_REASON_OOM_KILLED), oomKilled: true };
}

export function forceStopped(): Partial<Exit> {
  return died(9, ExitReason.EXIT_REASON_FORCE_STOPPED);
}

export function neverStarted(): Partial<Exit> {
  return {
    status: { $case: "unknown", value: true },
    reason: ExitReason.EXIT_REASON_NEVER_STARTED,
    startedAt: undefined,
  };
}

export function lost(): Partial<Exit> {
  return { status: { $case: "unknown", value: true }, reason: ExitReason.EXIT_REASON_LOST };
}

/** How a task has ended. */
export async function exitOf(client: StockadeClient, id: string): Promise<Exit> {
  const { exit } = await client.wait(id);
  if (exit === undefined) throw new Error("Wait answered no exit");
  return exit;
}
