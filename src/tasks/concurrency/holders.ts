import { Deferred } from "./deferred.js";

interface Held {
  holders: number;
  readonly free: Deferred<undefined>;
}

/** Counts who holds a thing. */
export class Holders<T extends object> {
  private readonly held = new WeakMap<T, Held>();

  /** Gives a function, to be called once, that lets go of it; that is true where nobody else holds it. */
  hold(thing: T): () => boolean {
    const held = this.held.get(thing) ?? { holders: 0, free: new Deferred() };
    this.held.set(thing, held);
    held.holders += 1;
    return () => {
      held.holders -= 1;
      if (held.holders > 0) return false;
      this.held.delete(thing);
      held.free.resolve(undefined);
      return true;
    };
  }

  /** Resolves when nobody holds it. */
  async free(thing: T): Promise<void> {
    await this.held.get(thing)?.free.promise;
  }
}
