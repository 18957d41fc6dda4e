/**
 * Layer control-plane. Claims on numbers: one store key a number, holding the name of its owner, written in the
 * same transaction as the object that uses it. Two requests that want the same number meet in the store's compare,
 * and the later one is run again; so nothing has to be given back by hand.
 */
import type { WriteContext } from "../registry/kind.ts";

export class Claims {
  readonly #context: Pick<WriteContext, "read" | "put" | "remove" | "keys">;
  readonly #prefix: string;
  readonly #owner: string;
  readonly #mine = new Set<string>();

  /**
   * @param prefix `/allocation/<allocator>/`
   * @param owner `services/namespace/name`
   */
  constructor(
    context: Pick<WriteContext, "read" | "put" | "remove" | "keys">,
    prefix: string,
    owner: string,
  ) {
    this.#context = context;
    this.#prefix = prefix;
    this.#owner = owner;
  }

  /** Held by anybody, this transaction included. */
  async isTaken(number: string): Promise<boolean> {
    return this.#mine.has(number) || (await this.#context.read(this.#prefix + number)) !== undefined;
  }

  /** @returns false when somebody else holds it; true also when the owner held it before */
  async claim(number: string): Promise<boolean> {
    if (this.#mine.has(number)) return true;
    const key = this.#prefix + number;
    const holder = await this.#context.read(key);
    if (holder !== undefined && holder !== this.#owner) return false;
    this.#mine.add(number);
    // Written also when the owner held it before, so that a repair which found it unused meanwhile does not win.
    this.#context.put(key, this.#owner);
    return true;
  }

  /** Gives a number back; one that somebody else holds stays. */
  async release(number: string): Promise<void> {
    this.#mine.delete(number);
    const key = this.#prefix + number;
    if ((await this.#context.read(key)) === this.#owner) this.#context.remove(key);
  }

  /** All numbers that are held, without the prefix. */
  async list(): Promise<readonly string[]> {
    const keys = await this.#context.keys(this.#prefix);
    return [...keys.map((key) => key.slice(this.#prefix.length)), ...this.#mine];
  }
}
