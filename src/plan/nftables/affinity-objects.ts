/**
 * Layer plan. Which chains and sets of units with affinity are in the table, and the operations between one state and
 * the next. What is needed no longer goes in a batch of its own, after the one that led traffic away: kernels before 6.2 do
 * not delete a chain in the moment in which its last map element goes. Pure.
 */
import type { NftOp, NftRule, NftTableState } from "../../model/nftables.ts";
import type { AffinityLayout } from "./affinity.ts";
import { isAffinityObject } from "./affinity.ts";
import { formatRule } from "./text.ts";

const EMPTY: AffinityLayout = { sets: [], chains: new Map() };

function sameRules(a: readonly NftRule[], b: readonly NftRule[]): boolean {
  return a.length === b.length && a.every((rule, i) => formatRule(rule) === formatRule(b[i] ?? rule));
}

export class AffinityObjects {
  /** By unit. */
  readonly #layouts = new Map<string, AffinityLayout>();
  /** In the table, but needed by nobody (any more). Chains with their rules, where these were read from the kernel. */
  readonly #spareChains = new Map<string, readonly string[]>();
  readonly #spareSets = new Set<string>();
  #canonical: (rule: NftRule) => string = formatRule;

  /** Takes over what a table has; the units that come next say what of it they need. */
  adopt(state: NftTableState, canonical: (rule: NftRule) => string): void {
    this.#canonical = canonical;
    for (const { name } of state.chains) if (isAffinityObject(name)) this.#spareChains.set(name, []);
    for (const { chain, canonical: text } of state.rules) {
      const rules = this.#spareChains.get(chain);
      if (rules !== undefined) this.#spareChains.set(chain, [...rules, text]);
    }
    for (const name of state.sets.keys()) if (isAffinityObject(name)) this.#spareSets.add(name);
  }

  /** Keys of units that have any. */
  get units(): readonly string[] {
    return [...this.#layouts.keys()];
  }

  /** @returns operations that must come before the elements of the unit, and what takes the belief back */
  exchange(
    unit: string,
    after: AffinityLayout | undefined,
  ): { readonly ops: readonly NftOp[]; undo(): void } | undefined {
    const before = this.#layouts.get(unit);
    if (before === undefined && after === undefined) return undefined;
    const undo: (() => void)[] = [() => this.#set(unit, before)];
    this.#set(unit, after);
    const had = before ?? EMPTY;
    const has = after ?? EMPTY;
    const ops = [...this.#sets(had, has, undo), ...this.#chains(had, has, undo)];
    return {
      ops,
      undo: () => {
        for (const step of undo.reverse()) step();
      },
    };
  }

  /** Operations that remove what nobody needs; call {@link removed} when they are done. */
  removal(): readonly NftOp[] {
    const chains = [...this.#spareChains.keys()];
    return [
      ...chains.map((chain): NftOp => ({ op: "flush-chain", chain })),
      ...chains.map((chain): NftOp => ({ op: "delete-chain", chain })),
      ...[...this.#spareSets].map((set): NftOp => ({ op: "delete-set", set })),
    ];
  }

  removed(): void {
    this.#spareChains.clear();
    this.#spareSets.clear();
  }

  #set(unit: string, layout: AffinityLayout | undefined): void {
    if (layout === undefined) this.#layouts.delete(unit);
    else this.#layouts.set(unit, layout);
  }

  *#sets(had: AffinityLayout, has: AffinityLayout, undo: (() => void)[]): Iterable<NftOp> {
    const before = new Set(had.sets.map((set) => set.name));
    for (const set of has.sets) {
      const { name } = set;
      if (before.delete(name)) continue;
      if (this.#spareSets.delete(name)) undo.push(() => this.#spareSets.add(name));
      else yield { op: "add-set", set };
    }
    for (const name of before) {
      this.#spareSets.add(name);
      undo.push(() => this.#spareSets.delete(name));
    }
  }

  *#chains(had: AffinityLayout, has: AffinityLayout, undo: (() => void)[]): Iterable<NftOp> {
    const rules: NftOp[] = [];
    for (const [chain, wanted] of has.chains) {
      const before = had.chains.get(chain);
      const spare = this.#spareChains.get(chain);
      if (before !== undefined && sameRules(before, wanted)) continue;
      if (spare !== undefined) {
        this.#spareChains.delete(chain);
        undo.push(() => this.#spareChains.set(chain, spare));
        const isSame =
          spare.length === wanted.length && wanted.every((rule, i) => this.#canonical(rule) === spare[i]);
        if (isSame) continue;
      }
      if (before === undefined && spare === undefined) yield { op: "add-chain", chain: { name: chain } };
      else rules.push({ op: "flush-chain", chain });
      for (const rule of wanted) rules.push({ op: "add-rule", rule });
    }
    for (const chain of had.chains.keys()) {
      if (has.chains.has(chain)) continue;
      // Its rules are not remembered: should it be needed again, they are written anew.
      this.#spareChains.set(chain, []);
      undo.push(() => this.#spareChains.delete(chain));
    }
    yield* rules;
  }
}
