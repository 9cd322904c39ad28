import type { Usage } from "../../tasks/exit.js";
import type { LimitName, Limits } from "../../tasks/limits.js";
import { Mutex } from "../../tasks/concurrency/mutex.js";
import { LimitRefused, type TaskCgroup } from "../../tasks/ports.js";
import { Changes } from "./changes.js";
import { readText } from "./files.js";
import { killAll, removeAll, removeIfEmpty, type CgroupPlace } from "./kill.js";
import { isWithin } from "./cpu-list.js";
import { reasonsFor } from "./unenforceable.js";

/** What v1 and v2 have in common: limits all or none, kill, remove. */
export abstract class HostCgroup implements TaskCgroup {
  readonly path: string;
  readonly v2Dir: string | undefined;
  readonly v1Dirs: readonly string[];
  abstract readonly cpuTimeFile: string | undefined;
  protected readonly place: CgroupPlace;
  /** What was set through this object, or is known to have been: a default that was asked for is a limit too. */
  protected known: Limits;
  /** Limits are set one request after the other. */
  readonly #setting = new Mutex();
  readonly #reasons: ReadonlyMap<LimitName, string>;
  #gone = false;

  constructor(place: CgroupPlace, reasons: ReadonlyMap<LimitName, string>, known: Limits) {
    this.place = place;
    this.path = place.path;
    this.v2Dir = place.v2Dir;
    this.v1Dirs = place.v1Dirs;
    this.known = known;
    this.#reasons = reasons;
  }

  /** Starts the writes of each limit in turn; each of the promises ends before its limit counts as set. */
  protected abstract write(limits: Limits, changes: Changes): readonly Promise<void>[];
  /** The CPUs that a task may be given here, in list format. */
  protected abstract availableCpus(): Promise<string>;
  abstract readLimits(): Promise<Limits>;
  abstract readUsage(): Promise<Usage>;
  abstract readOomKills(): Promise<number>;

  unenforceable(limits: Limits): ReadonlyMap<LimitName, string> {
    return reasonsFor(limits, this.#reasons);
  }

  protected canEnforce(limit: LimitName): boolean {
    return !this.#reasons.has(limit);
  }

  /** Rejects with a MemoryInUse, or a LimitRefused for a value that the kernel does not take; then nothing has changed. */
  setLimits(limits: Limits): Promise<void> {
    return this.#setting.run(() => this.#set(limits));
  }

  async #set(limits: Limits): Promise<void> {
    await this.#validate(limits);
    const changes = new Changes();
    // Memory first: it is what a running task can stand in the way of, and then nothing else is touched.
    const { memoryBytes, ...others } = limits;
    await all(memoryBytes === undefined ? [] : this.write({ memoryBytes }, changes), changes);
    await all(this.write(others, changes), changes);
    this.known = { ...this.known, ...limits };
  }

  /** What the kernels would take, or answer differently: v2 takes CPUs that are not there. */
  async #validate(limits: Limits): Promise<void> {
    if (limits.cpusetCpus !== undefined && !isWithin(limits.cpusetCpus, await this.availableCpus())) {
      throw new LimitRefused("cpusetCpus", "EINVAL", {
        why: "it names a CPU that tasks cannot be given here",
      });
    }
    await this.#validateReservation(limits);
  }

  /** Neither may pass the other, whichever is set: what is not in the request is what is in force. */
  async #validateReservation({ memoryBytes, memoryReservationBytes }: Limits): Promise<void> {
    if (memoryBytes === undefined && memoryReservationBytes === undefined) return;
    const inForce = memoryBytes === undefined || memoryReservationBytes === undefined;
    const before = inForce ? await this.readLimits() : {};
    const limit = memoryBytes ?? before.memoryBytes;
    const reservation = memoryReservationBytes ?? before.memoryReservationBytes;
    if (limit === undefined || reservation === undefined || reservation <= limit) return;
    throw new LimitRefused(
      memoryReservationBytes === undefined ? "memoryBytes" : "memoryReservationBytes",
      "EINVAL",
      { why: "the reservation, memory_reservation_bytes, would be more than memory_bytes" },
    );
  }

  /** The kernel takes less than a page for nothing at all, and says that it is set. */
  protected async writeReservation(path: string, bytes: bigint, changes: Changes): Promise<void> {
    await changes.write("memoryReservationBytes", path, String(bytes));
    if ((await readText(path)).trim() === "0")
      throw new LimitRefused("memoryReservationBytes", "ERANGE", { why: "it is less than a page" });
  }

  async kill(): Promise<void> {
    if (!this.#gone) await killAll(this.place);
  }

  async removeIfEmpty(): Promise<boolean> {
    this.#gone ||= await removeIfEmpty(this.place);
    return this.#gone;
  }

  async remove(): Promise<void> {
    if (this.#gone) return;
    await removeAll(this.place);
    this.#gone = true;
  }
}

/** Waits for every write; if one has failed, takes all changes back and throws its reason. */
async function all(writes: readonly Promise<void>[], changes: Changes): Promise<void> {
  const results = await Promise.allSettled(writes);
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) return;
  await changes.undo();
  throw failed.reason;
}
