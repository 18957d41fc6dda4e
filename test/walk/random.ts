/** Random walks: random numbers that a seed brings again (xorshift128, seeded by splitmix32). No other source of chance is used. */

export class Random {
  readonly #state: [number, number, number, number];

  constructor(seed: number) {
    let at = seed >>> 0;
    const next = (): number => {
      at = (at + 0x9e3779b9) >>> 0;
      let mixed = Math.imul(at ^ (at >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return (mixed ^ (mixed >>> 15)) >>> 0;
    };
    this.#state = [next(), next(), next(), next() | 1];
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    let [t] = this.#state;
    const [, b, c, d] = this.#state;
    t ^= t << 11;
    t ^= t >>> 8;
    const made = (t ^ d ^ (d >>> 19)) >>> 0;
    this.#state[0] = b;
    this.#state[1] = c;
    this.#state[2] = d;
    this.#state[3] = made;
    return Math.floor((made / 2 ** 32) * below);
  }

  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** True once in `times` times on the average. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of the values, which must not be empty. */
  pick<T>(values: readonly T[]): T {
    if (values.length === 0) throw new RangeError("nothing to pick from");
    return values[this.below(values.length)] as T;
  }

  /** Up to `most` different values, in random order. */
  some<T>(values: readonly T[], most: number): T[] {
    return this.take(values, this.below(Math.min(most, values.length) + 1));
  }

  /** Exactly `count` different values (all, where there are fewer), in random order. */
  take<T>(values: readonly T[], count: number): T[] {
    const left = [...values];
    const taken: T[] = [];
    while (taken.length < count && left.length > 0) taken.push(...left.splice(this.below(left.length), 1));
    return taken;
  }
}
