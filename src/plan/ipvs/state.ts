/**
 * Layer plan. Everything that IPVS mode wants of a node for one family: the sum of all units. Pure.
 */
import type { IpAddress, IpFamily } from "../../model/ip.ts";
import type { IpvsServer } from "../../model/ipvs.ts";
import type { NftOp } from "../../model/nftables.ts";
import { ElementChanges } from "../nftables/element-list.ts";
import type { NodeConfig } from "../node-config.ts";
import { type PackedIp, unpackIp } from "../packed.ts";
import type { Unit } from "../unit.ts";
import { IPVS_CHAINS, ipvsSetsOf } from "./names.ts";
import { ipvsRulesOf } from "./rules.ts";
import { compileIpvsUnit, ipvsContext, ipvsFormsOf } from "./unit-servers.ts";

/** Weighted round robin: shares are those of the weights, see docs/adr/0096. */
export const DEFAULT_SCHEDULER = "wrr";

export interface IpvsState {
  readonly servers: readonly IpvsServer[];
  /** For the dummy device, sorted as packed. */
  readonly addresses: readonly IpAddress[];
  /** The table from nothing, elements included. */
  readonly nft: readonly NftOp[];
}

/** @param units sorted by key @param scheduler as the kernel names it */
export function ipvsState(
  units: Iterable<Unit>,
  node: NodeConfig,
  family: IpFamily,
  scheduler = DEFAULT_SCHEDULER,
): IpvsState {
  const context = ipvsContext(node, family, scheduler);
  const changes = new ElementChanges(ipvsFormsOf(family));
  const seen = new Set<string>();
  const addresses = new Set<PackedIp>();
  const servers: IpvsServer[] = [];
  for (const unit of units) {
    const compiled = compileIpvsUnit(unit, context);
    for (const server of compiled.servers) servers.push(server);
    for (const address of compiled.addresses) addresses.add(address);
    const { sets, keys } = compiled.elements;
    keys.forEach((key, index) => {
      const set = sets[index] ?? 0;
      const id = String.fromCharCode(set) + key;
      if (seen.has(id)) return;
      seen.add(id);
      changes.add(set, key, "");
    });
  }
  return {
    servers,
    addresses: [...addresses].sort().map(unpackIp),
    nft: [
      { op: "add-table" },
      ...IPVS_CHAINS.map((chain): NftOp => ({ op: "add-chain", chain })),
      ...ipvsSetsOf(family).map((set): NftOp => ({ op: "add-set", set })),
      ...ipvsRulesOf(node, family).map((rule): NftOp => ({ op: "add-rule", rule })),
      ...changes.ops(),
    ],
  };
}
