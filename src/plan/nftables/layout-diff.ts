/** Layer plan. Is a table that was read laid out as ours is to be, and what would make it so. Pure. */
import type { NftChain, NftOp, NftRule, NftSet, NftTableState } from "../../model/nftables.ts";
import { isAffinityObject } from "./affinity.ts";

export type LayoutDiff =
  /** Sets and chains are ours; `ops` rewrites chains whose rules differ, and is empty when none do. */
  | { readonly kind: "same"; readonly ops: readonly NftOp[] }
  /** Another version made it: it has to be built anew. */
  | { readonly kind: "other"; readonly reason: string };

function chainText(chain: NftChain): string {
  const { base } = chain;
  return base === undefined ? "" : `${base.type} ${base.hook} ${base.priority}`;
}

function setText(set: NftSet): string {
  const flags = [...set.flags].sort();
  const shape = set.data === "verdict" || set.data === "none" ? set.data : set.data.map(fieldText);
  return JSON.stringify([set.key.map(fieldText), shape, flags, set.size ?? 0, set.counter ?? false]);
}

/** Types of parts, as far as a kernel keeps them: any `numgen` is a number. */
function fieldText(field: NftSet["key"][number]): string {
  return typeof field === "string" ? field : "numgen";
}

/** Operations for chains whose rules differ: emptied and written again, all in the batch that this becomes part of. */
export function diffRules(
  before: ReadonlyMap<string, readonly string[]>,
  after: readonly NftRule[],
  canonical: (rule: NftRule) => string,
): readonly NftOp[] {
  const wanted = new Map<string, NftRule[]>();
  for (const rule of after) {
    const list = wanted.get(rule.chain);
    if (list === undefined) wanted.set(rule.chain, [rule]);
    else list.push(rule);
  }
  const ops: NftOp[] = [];
  for (const [chain, rules] of wanted) {
    const has = before.get(chain) ?? [];
    const isSame = has.length === rules.length && rules.every((rule, i) => canonical(rule) === has[i]);
    if (isSame) continue;
    ops.push({ op: "flush-chain", chain }, ...rules.map((rule): NftOp => ({ op: "add-rule", rule })));
  }
  for (const [chain, has] of before)
    if (!wanted.has(chain) && has.length > 0) ops.push({ op: "flush-chain", chain });
  return ops;
}

export function diffLayout(
  state: NftTableState,
  chains: readonly NftChain[],
  sets: readonly NftSet[],
  rules: readonly NftRule[],
  canonical: (rule: NftRule) => string,
): LayoutDiff {
  // Chains and sets of units with affinity come and go with these: the compiler looks after them.
  const own = state.chains.filter((chain) => !isAffinityObject(chain.name));
  const hasChains = new Map(own.map((chain) => [chain.name, chainText(chain)]));
  for (const chain of chains)
    if (hasChains.get(chain.name) !== chainText(chain))
      return { kind: "other", reason: `chain ${chain.name}` };
  if (hasChains.size !== chains.length) return { kind: "other", reason: "chains that are not ours" };
  for (const set of sets) {
    const has = state.sets.get(set.name);
    if (has === undefined || setText(has.set) !== setText(set))
      return { kind: "other", reason: `set ${set.name}` };
  }
  if ([...state.sets.keys()].filter((name) => !isAffinityObject(name)).length !== sets.length)
    return { kind: "other", reason: "sets that are not ours" };
  const version = rules.find((rule) => rule.comment !== undefined);
  if (version !== undefined && !state.rules.some((rule) => rule.comment === version.comment))
    return { kind: "other", reason: `no rule "${version.comment}"` };
  const before = new Map<string, string[]>();
  for (const rule of state.rules) {
    if (isAffinityObject(rule.chain)) continue;
    const list = before.get(rule.chain);
    if (list === undefined) before.set(rule.chain, [rule.canonical]);
    else list.push(rule.canonical);
  }
  return { kind: "same", ops: diffRules(before, rules, canonical) };
}
