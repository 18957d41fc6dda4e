/** Layer drivers. Packet counters in memory; `count` is what a rule would do. */
import type { AccountingDriver } from "./driver.ts";

export class FakeAccounting implements AccountingDriver {
  readonly #counters = new Map<string, number>();
  readonly #isSupported: boolean;

  constructor(isSupported = true) {
    this.#isSupported = isSupported;
  }

  ensure(name: string): boolean {
    if (this.#isSupported && !this.#counters.has(name)) this.#counters.set(name, 0);
    return this.#isSupported;
  }

  packets(): ReadonlyMap<string, number> {
    return new Map(this.#counters);
  }

  remove(name: string): boolean {
    return this.#counters.delete(name);
  }

  close(): void {}
}
