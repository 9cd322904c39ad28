/** What a listing goes through. */
export interface InOrder<T> {
  /** The first so many after a uuid, which need not be there; undefined: from the first on. */
  after(uuid: string | undefined, count: number): readonly T[];
}

/** Most items of one run: what is moved when one comes or goes. */
const RUN_MAX = 512;

/**
 * Items in the order of their uuids, which is that in which they were made. In runs: to add or to take one away costs
 * the same, some microseconds, wherever it belongs and however many there are.
 */
export class UuidOrder<T extends { readonly uuid: string }> implements InOrder<T> {
  /** None of them empty. */
  private runs: T[][] = [];

  add(item: T): void {
    const at = Math.max(0, this.runAfter(item.uuid) - 1);
    const run = this.runs[at];
    if (run === undefined) {
      this.runs.push([item]);
      return;
    }
    run.splice(placeAfter(run, item.uuid), 0, item);
    // Half of a run that is the last would stay half full: they come in their order.
    if (run.length <= RUN_MAX) return;
    const keep = at === this.runs.length - 1 ? RUN_MAX : RUN_MAX / 2;
    this.runs.splice(at + 1, 0, run.splice(keep));
  }

  delete({ uuid }: T): void {
    const at = this.runAfter(uuid) - 1;
    const run = this.runs[at];
    const index = run === undefined ? -1 : placeAfter(run, uuid) - 1;
    if (run?.[index]?.uuid !== uuid) return;
    run.splice(index, 1);
    if (run.length === 0) this.runs.splice(at, 1);
  }

  clear(): void {
    this.runs = [];
  }

  after(uuid: string | undefined, count: number): readonly T[] {
    const items: T[] = [];
    let at = uuid === undefined ? 0 : Math.max(0, this.runAfter(uuid) - 1);
    for (let run = this.runs[at]; run !== undefined && items.length < count; run = this.runs[++at]) {
      const start = uuid === undefined ? 0 : placeAfter(run, uuid);
      items.push(...run.slice(start, start + count - items.length));
    }
    return items;
  }

  /** The index of the first run that begins after a uuid. */
  private runAfter(uuid: string): number {
    return firstIndex(this.runs.length, (index) => (this.runs[index]?.[0]?.uuid ?? "") > uuid);
  }
}

function placeAfter(run: readonly { readonly uuid: string }[], uuid: string): number {
  return firstIndex(run.length, (index) => (run[index]?.uuid ?? "") > uuid);
}

/** Of those below `length` the first for which it holds, as it does for all after it; `length` if there is none. */
function firstIndex(length: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
