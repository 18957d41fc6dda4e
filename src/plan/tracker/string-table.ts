/**
 * Layer plan. Numbers for strings that repeat a lot (node names, hint lists), so that an endpoint costs a few bytes.
 * Numbers stay valid for the table's life. At most 2^24 - 1 strings: more nodes than any cluster has.
 */
export class StringTable {
  readonly #numbers = new Map<string, number>([["", 0]]);
  readonly #strings: string[] = [""];

  /** Number of `text`; the empty string is 0. */
  intern(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const number = this.#strings.length;
    this.#strings.push(text);
    this.#numbers.set(text, number);
    return number;
  }

  /** @returns the string behind a number that {@link intern} gave out */
  at(number: number): string {
    return this.#strings[number] ?? "";
  }

  get size(): number {
    return this.#strings.length;
  }
}
