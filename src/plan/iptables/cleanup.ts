/**
 * Layer plan. Input for iptables-restore that removes all that iptables mode ever made, and nothing else: also when rules
 * of others lead into our chains. Pure.
 * Source: kube-proxy 1.33, pkg/proxy/iptables (CleanupLeftovers); what a kubelet shares stays while there is a kubelet.
 */
import {
  CANARY_CHAIN,
  FIXED_CHAINS,
  GUARD_CHAIN,
  isServiceChain,
  KUBELET_CANARY,
  MARK_CHAIN,
  TABLES,
  type Table,
} from "./names.ts";
import { GUARD_RULE, guardJumps, jumps } from "./node-rules.ts";
import { type RestoreInput, RestoreWriter } from "./restore-input.ts";
import type { SavedState } from "./saved-state.ts";

export interface Cleanup {
  /** Absent when there is nothing to do. */
  readonly input?: RestoreInput;
  /** Chains of ours that rules of others lead to, which the kernel therefore keeps: as `table CHAIN`. They are emptied. */
  readonly held: readonly string[];
}

export function planCleanup(saved: SavedState): Cleanup {
  const writer = new RestoreWriter();
  const held: string[] = [];
  const hasKubelet = TABLES.some((table) => saved[table].chains.has(KUBELET_CANARY));
  for (const { table, chain, rule } of jumps()) deleteRule(writer, saved, { table, chain, rule });
  const isGuarded = !hasKubelet && removesGuard(writer, saved);
  for (const table of TABLES) {
    const ours = ownChains(saved, table, hasKubelet);
    const wanted = targetsOfOthers(saved, table, ours);
    if (isGuarded && table === "filter") ours.add(GUARD_CHAIN);
    for (const chain of ours) {
      if (!wanted.has(chain)) {
        writer.remove(table, chain);
        continue;
      }
      held.push(`${table} ${chain}`);
      if (saved[table].rules.has(chain)) writer.declare(table, chain);
    }
  }
  return { ...(writer.isEmpty ? {} : { input: writer.finish() }), held };
}

function ownChains(saved: SavedState, table: Table, hasKubelet: boolean): Set<string> {
  const fixed: readonly string[] = table === "mangle" ? [] : FIXED_CHAINS[table];
  const isOurs = (chain: string) => fixed.includes(chain) || chain === CANARY_CHAIN || isServiceChain(chain);
  const isShared = (chain: string) => hasKubelet && chain === MARK_CHAIN;
  return new Set([...saved[table].chains].filter((chain) => isOurs(chain) && !isShared(chain)));
}

/** Chains that rules lead to which stay: those in chains of others, but for the jumps that are ours. */
function targetsOfOthers(saved: SavedState, table: Table, ours: ReadonlySet<string>): ReadonlySet<string> {
  const own = new Set(
    [...jumps(), ...guardJumps()]
      .filter((jump) => jump.table === table)
      .map(({ chain, rule }) => `${chain} ${rule}`),
  );
  const targets = new Set<string>();
  for (const [chain, rules] of saved[table].rules) {
    if (ours.has(chain)) continue;
    for (const rule of rules) {
      const target = / -[jg] (\S+)/.exec(` ${rule}`)?.[1];
      if (target !== undefined && !own.has(`${chain} ${rule}`)) targets.add(target);
    }
  }
  return targets;
}

/** As often as it is there. */
function deleteRule(
  writer: RestoreWriter,
  saved: SavedState,
  { table, chain, rule }: { readonly table: Table; readonly chain: string; readonly rule: string },
): void {
  for (const found of saved[table].rules.get(chain) ?? [])
    if (found === rule) writer.add(table, [`-D ${chain} ${rule}`]);
}

/** Takes our rule out of the guard's chain. @returns whether the chain is empty then, and so ours to remove */
function removesGuard(writer: RestoreWriter, saved: SavedState): boolean {
  const rules = saved.filter.rules.get(GUARD_CHAIN) ?? [];
  if (!rules.includes(GUARD_RULE)) return false;
  if (rules.some((rule) => rule !== GUARD_RULE)) {
    writer.add("filter", [`-D ${GUARD_CHAIN} ${GUARD_RULE}`]);
    return false;
  }
  for (const jump of guardJumps()) deleteRule(writer, saved, jump);
  return true;
}
