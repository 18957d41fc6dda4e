/** Layer control-plane. When recent revisions were made: to say how long it took until they were live on a node. */

const MAX_CHANGES = 2048;

export class ChangeTimes {
  readonly #revisions: number[] = [];
  readonly #times: number[] = [];

  /** Revisions come in order. @param atMs milliseconds since the epoch; 0 (unknown) is not kept */
  note(revision: number, atMs: number): void {
    if (atMs === 0) return;
    this.#revisions.push(revision);
    this.#times.push(atMs);
    if (this.#revisions.length <= MAX_CHANGES * 2) return;
    this.#revisions.splice(0, MAX_CHANGES);
    this.#times.splice(0, MAX_CHANGES);
  }

  /** When the oldest known change after `from`, up to `to`, was made. */
  oldestIn(from: number, to: number): number | undefined {
    let low = 0;
    let high = this.#revisions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#revisions[middle] ?? 0) <= from) low = middle + 1;
      else high = middle;
    }
    return (this.#revisions[low] ?? Number.POSITIVE_INFINITY) <= to ? this.#times[low] : undefined;
  }
}
