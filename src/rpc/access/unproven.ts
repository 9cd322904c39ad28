/** The connections that have not shown yet whose they are: each has so much time, and the oldest make way for others. */
import { ByHolder } from "../../tasks/by-holder.js";

/** How long one may take to, from its beginning on: TLS, and the first call that is let in. In milliseconds. */
const PROOF_MS = 10_000;

/** So many that are late are closed in one turn of the event loop, however many there are. */
const CLOSED_AT_ONCE = 4;

export interface Unproven {
  readonly address: string;
  close(): void;
}

export class UnprovenConnections<T extends Unproven> {
  /** Until when, by `performance.now()`; in the order in which they came, which is the order of these, too. */
  private readonly deadlines = new Map<T, number>();
  private readonly byAddress = new ByHolder<T>();
  private timer: NodeJS.Timeout | undefined;

  get count(): number {
    return this.deadlines.size;
  }

  add(connection: T): void {
    this.deadlines.set(connection, performance.now() + PROOF_MS);
    this.byAddress.add(connection.address, connection);
    this.watch(PROOF_MS);
  }

  remove(connection: T): void {
    if (!this.deadlines.delete(connection)) return;
    this.byAddress.delete(connection.address, connection);
  }

  /** The oldest of the address that has most: a flood drives out its own. */
  closeOne(): void {
    const oldest = this.byAddress.oldestOfMost;
    if (oldest !== undefined) this.drop(oldest);
  }

  private drop(connection: T): void {
    this.remove(connection);
    connection.close();
  }

  private watch(delayMs: number): void {
    this.timer ??= setTimeout(() => this.closeLate(), delayMs).unref();
  }

  private closeLate(): void {
    this.timer = undefined;
    let closed = 0;
    for (const [connection, deadline] of this.deadlines) {
      const leftMs = deadline - performance.now();
      if (leftMs > 0 || closed === CLOSED_AT_ONCE) {
        this.watch(Math.max(1, leftMs));
        return;
      }
      this.drop(connection);
      closed++;
    }
  }
}
