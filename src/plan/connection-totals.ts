/**
 * Layer plan. New connections of service ports, summed up from counters that the kernel keeps for something smaller: an element
 * of a map, a virtual server. These begin at zero whenever they are made anew, which is why the totals are kept here; what one
 * counted between the last reading and its end is lost. Pure.
 */
import type { UnitShape } from "./unit.ts";

/** A service port and the counters that are its own now. */
export interface CountedUnit {
  readonly shape: UnitShape;
  readonly counters: readonly string[];
}

/** Connections of a service port in one family, since they are counted. */
export interface UnitConnections {
  readonly shape: UnitShape;
  readonly connections: number;
}

export class ConnectionTotals {
  /** What a counter showed when it was last seen. */
  #seen = new Map<string, number>();
  #totals = new Map<string, UnitConnections>();

  /** As of the last reading. */
  get latest(): Iterable<UnitConnections> {
    return this.#totals.values();
  }

  /**
   * Takes a reading. Units that are not in it are forgotten. Cost O(counters).
   * @param shown what each counter shows; one that is missing has not gone on
   */
  take(units: Iterable<CountedUnit>, shown: ReadonlyMap<string, number>): void {
    const seen = new Map<string, number>();
    const totals = new Map<string, UnitConnections>();
    for (const { shape, counters } of units) {
      let connections = this.#totals.get(shape.key)?.connections ?? 0;
      for (const counter of counters) {
        const before = this.#seen.get(counter) ?? 0;
        const now = shown.get(counter) ?? before;
        connections += now >= before ? now - before : now;
        seen.set(counter, now);
      }
      totals.set(shape.key, { shape, connections });
    }
    this.#seen = seen;
    this.#totals = totals;
  }
}
