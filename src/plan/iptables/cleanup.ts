/**
 * Layer plan. Input for iptables-restore that removes all that iptables mode ever made, and nothing else. Pure.
 * Source: facts/kube-proxy-behaviour.md row 88: what a kubelet shares stays while there is a kubelet.
 */
import {
  CANARY_CHAIN,
  FIXED_CHAINS,
  GUARD_CHAIN,
  isServiceChain,
  KUBELET_CANARY,
  MARK_CHAIN,
  TABLES,
} from "./names.ts";
import { GUARD_RULE, guardJumps, jumps } from "./node-rules.ts";
import { type RestoreInput, RestoreWriter } from "./restore-input.ts";
import type { SavedState } from "./saved-state.ts";

/** @returns `undefined` when nothing of ours is there */
export function cleanupInput(saved: SavedState): RestoreInput | undefined {
  const writer = new RestoreWriter();
  const hasKubelet = TABLES.some((table) => saved[table].chains.has(KUBELET_CANARY));
  let count = 0;
  for (const { table, chain, rule } of jumps()) {
    for (const found of saved[table].rules.get(chain) ?? []) {
      if (found !== rule) continue;
      writer.add(table, [`-D ${chain} ${rule}`]);
      count++;
    }
  }
  count += removeGuard(writer, saved, hasKubelet);
  for (const table of TABLES) {
    const fixed: readonly string[] = table === "mangle" ? [] : FIXED_CHAINS[table];
    for (const chain of saved[table].chains) {
      const isOurs = fixed.includes(chain) || chain === CANARY_CHAIN || isServiceChain(chain);
      if (!isOurs || (hasKubelet && chain === MARK_CHAIN)) continue;
      writer.remove(table, chain);
      count++;
    }
  }
  return count === 0 ? undefined : writer.finish();
}

function removeGuard(writer: RestoreWriter, saved: SavedState, hasKubelet: boolean): number {
  const rules = saved.filter.rules.get(GUARD_CHAIN) ?? [];
  if (hasKubelet || !rules.includes(GUARD_RULE)) return 0;
  if (rules.some((rule) => rule !== GUARD_RULE)) {
    writer.add("filter", [`-D ${GUARD_CHAIN} ${GUARD_RULE}`]);
    return 1;
  }
  for (const { chain, rule } of guardJumps())
    if (saved.filter.rules.get(chain)?.includes(rule) === true) writer.add("filter", [`-D ${chain} ${rule}`]);
  writer.remove("filter", GUARD_CHAIN);
  return 1;
}
