import { TaskError } from "../tasks/errors.js";

/** The calls under way, so that those who would wait for long are answered when the daemon stops. */
export class Calls {
  private readonly callers = new Set<AbortController>();
  private ended: { readonly reason: unknown } | undefined;
  private idle: (() => void) | undefined;

  /** To be aborted when the caller has gone. */
  begin(): AbortController {
    const caller = new AbortController();
    this.callers.add(caller);
    if (this.ended !== undefined) caller.abort(this.ended.reason);
    return caller;
  }

  /** To be called when grpc-js says that the caller has gone, as it does of each who has been answered, too. */
  leave(caller: AbortController): void {
    if (!this.callers.has(caller)) return;
    caller.abort(new TaskError({ reason: "CALL_CANCELLED", message: "the caller has gone" }));
  }

  /** It has been answered. */
  end(caller: AbortController): void {
    this.callers.delete(caller);
    if (this.callers.size === 0) this.idle?.();
  }

  /**
   * Those under way, and all that come, are as if their callers had gone; `reason` is what they are told. Resolves when
   * all that are under way have been.
   */
  endAll(reason: unknown): Promise<void> {
    this.ended = { reason };
    const answered = new Promise<void>((resolve) => {
      this.idle = resolve;
      if (this.callers.size === 0) resolve();
    });
    for (const caller of this.callers) caller.abort(reason);
    return answered;
  }
}
