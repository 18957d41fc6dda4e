/**
 * Layer plan. The chains that exist once: canaries, jumps into our chains, the guard of loopback, and the chains that have a
 * few lines of every service port. Pure. Source: kube-proxy 1.33, pkg/proxy/iptables/proxier.go.
 */
import type { IpFamily } from "../../model/ip.ts";
import type { NodeConfig } from "../node-config.ts";
import { sameRules } from "./canonical-rule.ts";
import { FIXED_CHAINS, GUARD_CHAIN, type Table } from "./names.ts";
import {
  CANARIES,
  forwardRules,
  GUARD_RULE,
  guardJumps,
  hasLocalhostNodePorts,
  type IptablesFeatures,
  jumps,
  masqueradeRules,
  nodePortJumps,
} from "./node-rules.ts";
import { RestoreWriter } from "./restore-input.ts";
import type { SavedState } from "./saved-state.ts";
import type { OwnChain } from "./unit-chains.ts";
import type { CompiledUnit } from "./unit-rules.ts";

/** Which chain the lines of a unit go to that are not in chains of its own. */
const FILTER_PARTS = [
  ["filterServices", "KUBE-SERVICES"],
  ["filterExternal", "KUBE-EXTERNAL-SERVICES"],
  ["filterNodePorts", "KUBE-NODEPORTS"],
  ["filterFirewall", "KUBE-PROXY-FIREWALL"],
] as const;
const NAT_PARTS = [
  ["natServices", "KUBE-SERVICES"],
  ["natNodePorts", "KUBE-NODEPORTS"],
] as const;

export interface CommonChainsOptions {
  readonly node: NodeConfig;
  readonly family: IpFamily;
  readonly features: IptablesFeatures;
  /** In the order in which their lines stand. */
  readonly units: readonly CompiledUnit[];
}

export class CommonChains {
  readonly #options: CommonChainsOptions;

  constructor(options: CommonChainsOptions) {
    this.#options = options;
  }

  /** Rules that the tables should hold, those of the units' own chains with them. Cost O(units). */
  ruleCounts(): Readonly<Record<"filter" | "nat", number>> {
    const { node, family, features, units } = this.#options;
    const filter = forwardRules(node, features).length;
    const nat = masqueradeRules(node, features).length + nodePortJumps(node, family).length;
    const counts = { filter, nat };
    for (const { shared, counts: own } of units) {
      counts.nat += own.rules;
      for (const [part] of FILTER_PARTS) counts.filter += shared[part].length;
      for (const [part] of NAT_PARTS) counts.nat += shared[part].length;
    }
    return counts;
  }

  /** What is missing, or is not as it should be. */
  complete(writer: RestoreWriter, saved: SavedState): void {
    for (const { table, chain } of CANARIES)
      if (!saved[table].chains.has(chain)) writer.declare(table, chain);
    for (const { table, chain, rule } of jumps()) {
      if (saved[table].rules.get(chain)?.includes(rule) !== true)
        writer.add(table, [`-I ${chain} 1 ${rule}`]);
    }
    // Last, so that it is first: nothing may accept a packet for loopback before the guard has seen it.
    this.#guard(writer, saved);
    this.write(writer, this.#inPlace(saved));
  }

  /** The chains whole: a few lines of each unit. `inPlace` names those left out, as `table chain`. */
  write(writer: RestoreWriter, inPlace: ReadonlySet<string> = new Set()): void {
    const { node, family, features, units } = this.#options;
    const isWritten = (table: Table, chain: string): boolean => !inPlace.has(`${table} ${chain}`);
    for (const table of ["filter", "nat"] as const)
      for (const chain of FIXED_CHAINS[table]) if (isWritten(table, chain)) writer.declare(table, chain);
    const filterParts = FILTER_PARTS.filter(([, chain]) => isWritten("filter", chain));
    const natParts = NAT_PARTS.filter(([, chain]) => isWritten("nat", chain));
    const own = (table: Table, rules: readonly string[]): void =>
      writer.add(
        table,
        rules.filter((rule) => isWritten(table, chainOf(rule))),
      );
    own("filter", forwardRules(node, features));
    own("nat", masqueradeRules(node, features));
    for (const { unit, shared } of units) {
      for (const [part] of filterParts) writer.add("filter", shared[part], unit.shape.key);
      for (const [part] of natParts) writer.add("nat", shared[part], unit.shape.key);
    }
    own("nat", nodePortJumps(node, family));
  }

  #guard(writer: RestoreWriter, { filter }: SavedState): void {
    const { node, family } = this.#options;
    if (!hasLocalhostNodePorts(node, family)) return;
    // Shared with the kubelet: declaring a chain that exists would empty it.
    if (!filter.chains.has(GUARD_CHAIN)) writer.declare("filter", GUARD_CHAIN);
    if (filter.rules.get(GUARD_CHAIN)?.includes(GUARD_RULE) !== true)
      writer.add("filter", [`-A ${GUARD_CHAIN} ${GUARD_RULE}`]);
    for (const { chain, rule } of guardJumps())
      if (filter.rules.get(chain)?.includes(rule) !== true) writer.add("filter", [`-I ${chain} 1 ${rule}`]);
  }

  /** Chains that hold what they should, as `table chain`. */
  #inPlace(saved: SavedState): ReadonlySet<string> {
    const inPlace = new Set<string>();
    const isThere = (place: "filter" | "nat") =>
      FIXED_CHAINS[place].some((chain) => saved[place].chains.has(chain));
    if (!isThere("filter") && !isThere("nat")) return inPlace;
    const wanted = this.#wanted();
    for (const place of ["filter", "nat"] as const)
      for (const name of FIXED_CHAINS[place]) {
        const key = `${place} ${name}`;
        if (isInPlace(saved, place, { name, rules: wanted.get(key) ?? [] })) inPlace.add(key);
      }
    return inPlace;
  }

  /** Lines by `table chain`. */
  #wanted(): ReadonlyMap<string, readonly string[]> {
    const writer = new RestoreWriter();
    this.write(writer);
    const wanted = new Map<string, string[]>();
    let table: Table = "filter";
    for (const line of writer.finish().lines) {
      if (line.startsWith("*")) table = line === "*nat" ? "nat" : "filter";
      if (!line.startsWith("-A ")) continue;
      const key = `${table} ${chainOf(line)}`;
      const lines = wanted.get(key);
      if (lines === undefined) wanted.set(key, [line]);
      else lines.push(line);
    }
    return wanted;
  }
}

/** The chain of a line `-A CHAIN …`. */
function chainOf(line: string): string {
  const end = line.indexOf(" ", 3);
  return line.slice(3, end < 0 ? undefined : end);
}

/** The table has the chain with these rules, and no others. */
export function isInPlace(saved: SavedState, table: Table, { name, rules }: OwnChain): boolean {
  const { chains, rules: found } = saved[table];
  if (!chains.has(name)) return false;
  const from = `-A ${name} `.length;
  return sameRules(
    found.get(name),
    rules.map((line) => line.slice(from)),
  );
}
