/** Layer agent. How long to wait before the next try: twice as long each time, up to a minute. */
const FIRST_MS = 1_000;
const MOST_MS = 60_000;

export class RetryDelay {
  #ms = FIRST_MS;

  get ms(): number {
    return this.#ms;
  }

  grow(): void {
    this.#ms = Math.min(this.#ms * 2, MOST_MS);
  }

  reset(): void {
    this.#ms = FIRST_MS;
  }
}
