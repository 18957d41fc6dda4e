/** Layer agent. Reads what the frontend maps of one family have counted. */
import type { NftDriver } from "../../../drivers/nftables/driver.ts";
import { ConnectionTotals, type UnitConnections } from "../../../plan/connection-totals.ts";
import type { NftCompiler } from "../../../plan/nftables/compiler.ts";
import { countedFrontends, counterOf } from "../../../plan/nftables/counted-frontends.ts";
import { PAIRS, SETS } from "../../../plan/nftables/names.ts";
import { packBytes } from "../../../plan/packed.ts";

export class ConnectionCounts {
  readonly #driver: NftDriver;
  readonly #totals = new ConnectionTotals();

  constructor(driver: NftDriver) {
    this.#driver = driver;
  }

  /** Asks the kernel. @throws {NodeplaneError} when that fails */
  read(compiler: NftCompiler): void {
    const shown = new Map<string, number>();
    for (const pair of PAIRS) {
      const set = compiler.sets.find(({ name }) => name === SETS.frontends[pair]);
      if (set === undefined) continue;
      const { keys, packets } = this.#driver.elementCounts(set);
      const packed = packBytes(keys);
      const width = packed.length / packets.length;
      for (const [i, count] of packets.entries())
        shown.set(counterOf(pair, packed.slice(i * width, (i + 1) * width)), count);
    }
    this.#totals.take(countedFrontends(compiler.units()), shown);
  }

  /** As of the last reading. */
  get latest(): Iterable<UnitConnections> {
    return this.#totals.latest;
  }
}
