/**
 * Layer plan. Everything that IPVS mode wants of a node for one family: the sum of all units. Pure.
 */
import type { IpAddress, IpFamily } from "../../model/ip.ts";
import type { IpvsServer } from "../../model/ipvs.ts";
import type { NftOp } from "../../model/nftables.ts";
import type { NodeConfig } from "../node-config.ts";
import { unpackIp } from "../packed.ts";
import type { Unit } from "../unit.ts";
import { IpvsCompiler } from "./compiler.ts";

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
  const compiler = new IpvsCompiler(family, node, scheduler);
  const { elements } = compiler.stage([...units].map((unit) => ({ key: unit.shape.key, family, unit })));
  return {
    servers: [...compiler.serverKeys()].flatMap((key) => compiler.server(key) ?? []),
    addresses: [...compiler.addresses()].sort().map(unpackIp),
    nft: [...compiler.layoutOps(), ...elements.ops()],
  };
}
