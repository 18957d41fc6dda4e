/**
 * Layer plan. Which elements of the frontend maps count the connections of a unit. Pure.
 *
 * A frontend whose policy is Local is looked for in the short map first, so every connection to it is counted there, and those
 * that go on to the other map once more: the short map's count is the whole.
 */
import type { CountedUnit } from "../connection-totals.ts";
import type { Pair } from "./names.ts";
import type { CompiledUnit } from "./unit-elements.ts";
import { frontendPairKey, isShort } from "./unit-elements.ts";

const SHORT = { frontend: "short-frontend", "node-port": "short-node-port" } as const;

/** Names an element of the frontend maps, by its packed key. */
export function counterOf(pair: Pair, key: string): string {
  return `${pair} ${key}`;
}

export function* countedFrontends(units: Iterable<CompiledUnit>): Iterable<CountedUnit> {
  for (const compiled of units) {
    const { shape } = compiled;
    const counters = shape.frontends.map((frontend) => {
      const { pair, key } = frontendPairKey(shape, frontend);
      return counterOf(isShort(compiled, frontend) ? SHORT[pair] : pair, key);
    });
    yield { shape, counters };
  }
}
