/**
 * Layer plan. Who owns a frontend that several units want: the older object, then the name that sorts first.
 * The others get it back when the owner goes. Pure but for its own state. Why: docs/differences.md.
 */
import type { Frontend, UnitShape } from "./unit.ts";

export interface Claimant {
  readonly unitKey: string;
  /** `namespace/name` of the Service. */
  readonly service: string;
  readonly createdAtMs: number;
}

/** Text that is equal for frontends that a backend cannot tell apart. */
export function frontendKey(shape: UnitShape, frontend: Frontend): string {
  return `${shape.family}${String.fromCharCode(shape.protocol, frontend.port)}${frontend.address}`;
}

function compare(a: Claimant, b: Claimant): number {
  if (a.createdAtMs !== b.createdAtMs) return a.createdAtMs < b.createdAtMs ? -1 : 1;
  if (a.service !== b.service) return a.service < b.service ? -1 : 1;
  return a.unitKey < b.unitKey ? -1 : a.unitKey > b.unitKey ? 1 : 0;
}

export class Claims {
  /** Nearly all frontends have one claimant; lists are for conflicts, owner first. */
  readonly #claims = new Map<string, Claimant | readonly Claimant[]>();

  owner(key: string): Claimant | undefined {
    const held = this.#claims.get(key);
    return held === undefined || "unitKey" in held ? held : held[0];
  }

  /** Registers a claim, or renews it with another age. @returns services to look at again, when the owner changed */
  add(key: string, claimant: Claimant): readonly string[] {
    const before = this.owner(key);
    const others = this.#others(key, claimant.unitKey);
    if (others.length === 0) {
      this.#claims.set(key, claimant);
      return [];
    }
    const list = [...others, claimant].sort(compare);
    this.#claims.set(key, list);
    return before?.unitKey === list[0]?.unitKey ? [] : others.map((other) => other.service);
  }

  /** Withdraws a claim. @returns services to look at again: the heir first */
  remove(key: string, unitKey: string): readonly string[] {
    const before = this.owner(key);
    const others = this.#others(key, unitKey);
    const [first] = others;
    if (first === undefined) this.#claims.delete(key);
    else this.#claims.set(key, others.length === 1 ? first : others);
    return before?.unitKey === unitKey ? others.map((other) => other.service) : [];
  }

  #others(key: string, unitKey: string): Claimant[] {
    const held = this.#claims.get(key);
    if (held === undefined) return [];
    const list = "unitKey" in held ? [held] : held;
    return list.filter((claimant) => claimant.unitKey !== unitKey);
  }
}
