/** Layer dns. Counts queries in work, over all and by client address, against limits. */
export class PendingQueries {
  readonly #maximum: number;
  readonly #maximumPerClient: number;
  readonly #perClient = new Map<string, number>();
  #size = 0;

  constructor(maximum: number, maximumPerClient: number) {
    this.#maximum = maximum;
    this.#maximumPerClient = maximumPerClient;
  }

  get size(): number {
    return this.#size;
  }

  /** @returns false when there is no room; otherwise {@link end} must follow */
  begin(address: string): boolean {
    const waiting = this.#perClient.get(address) ?? 0;
    if (this.#size >= this.#maximum || waiting >= this.#maximumPerClient) return false;
    this.#size++;
    this.#perClient.set(address, waiting + 1);
    return true;
  }

  end(address: string): void {
    this.#size--;
    const rest = (this.#perClient.get(address) ?? 1) - 1;
    if (rest === 0) this.#perClient.delete(address);
    else this.#perClient.set(address, rest);
  }
}
